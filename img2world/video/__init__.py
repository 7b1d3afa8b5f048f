"""Generate frames from a picture or read them from files: one module for each model or source."""

VIDEOS = {
    "nano": "img2world.video.nano:NanoVideo",
    "sana-wm": "img2world.video.sana_wm:SanaWmVideo",
    "wan-vace": "img2world.video.wan_vace:WanVaceVideo",
    "wan": "img2world.video.wan:WanVideo",
    "svd": "img2world.video.svd:SvdVideo",
    "cogvideox": "img2world.video.cogvideox:CogVideoXVideo",
    "ltx": "img2world.video.ltx:LtxVideo",
    "hunyuan": "img2world.video.hunyuan:HunyuanVideo",
    "file": "img2world.video.file:FileVideo",
    "synthetic": "img2world.video.synthetic:SyntheticVideo",
}
"""Backends by their name in recipes, as "module:Class"."""
