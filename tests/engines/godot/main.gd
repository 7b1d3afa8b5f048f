# Draws asset.glb in white light; the job is in the environment variable ENGINE_JOB.
extends Spatial

func _ready():
	var job = JSON.parse(OS.get_environment("ENGINE_JOB")).result
	var asset = load("res://asset.glb").instance()
	add_child(asset)
	if job["time"] != null:
		var player = asset.get_node("AnimationPlayer")
		player.play("motion")
		player.seek(job["time"], true)
		player.stop(false)
	add_child(camera(job))
	var light = WorldEnvironment.new()
	light.environment = Environment.new()
	light.environment.background_mode = Environment.BG_COLOR
	light.environment.background_color = Color(job["background"][0], job["background"][1], job["background"][2])
	light.environment.ambient_light_color = Color(1, 1, 1)
	light.environment.ambient_light_sky_contribution = 0
	add_child(light)
	for i in range(3):
		yield(get_tree(), "idle_frame")
	var image = get_viewport().get_texture().get_data()
	image.flip_y()
	image.save_png(job["out"])
	get_tree().quit()

func camera(job):
	var pose = job["pose"]
	var columns = []
	for i in range(4):
		columns.append(Vector3(pose[0][i], pose[1][i], pose[2][i]))
	var view = Camera.new()
	view.transform = Transform(columns[0], columns[1], columns[2], columns[3])
	view.fov = job["fov_y_deg"]
	view.near = job["near"]
	view.far = job["far"]
	view.current = true
	return view
