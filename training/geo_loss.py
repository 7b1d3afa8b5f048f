"""Training loss of nano-geo."""

import torch
from torch import Tensor
from torch.nn import functional

from img2world.depth.network import Channel, Stance
from training.geo_batches import GeoBatch
from training.silhouettes import silhouette_error

MAX_LOG_DEPTH = 4.6
"""Larger log depths (100 units) are clamped."""

SILHOUETTE_WEIGHT = 6.0
"""Weight of the silhouettes from other sides, which decide most of how an orbit looks."""

STANCE_WEIGHT = 0.15
"""Weight of the orientation of objects, which the network's maps do not depend on."""

UNCERTAINTY_WEIGHT = 0.02


def geo_loss(maps: Tensor, stance: Tensor, batch: GeoBatch) -> Tensor:
    """Return the loss of a batch: scenes up to scale, objects in absolute size."""
    maps = maps.float()
    is_scene = ~batch.is_object
    parts = [0.5 * functional.binary_cross_entropy_with_logits(maps[:, Channel.MASK], batch.known.float())]
    if is_scene.any():
        parts.append(_scene_loss(maps[is_scene], _select(batch, is_scene)))
    if batch.is_object.any():
        parts.append(_object_loss(maps[batch.is_object], _select(batch, batch.is_object)))
        parts.append(_stance_loss(stance.float()[batch.is_object], batch) * batch.is_object.float().mean())
    hidden_rgb = batch.rgb + maps[:, Channel.RGB] / 2
    weight = batch.hidden_known.float()
    parts.append(0.7 * ((hidden_rgb - batch.hidden_rgb).abs().mean(1) * weight).sum() / weight.sum().clamp(min=1))
    return sum(parts, torch.zeros(()))


def _select(batch: GeoBatch, chosen: Tensor) -> dict[str, Tensor]:
    """Return the targets of some examples and the fraction of the batch that they are."""
    targets = {name: getattr(batch, name)[chosen] for name in ("known", "front", "hidden_known", "hidden")}
    return targets | {"fraction": chosen.float().mean()}


def _scene_loss(maps: Tensor, truth: dict[str, Tensor]) -> Tensor:
    """Return the loss of scenes: log depth without its mean error, depth gradients, the gap to the hidden surface."""
    weight = truth["known"].float()
    front = truth["front"].clamp(max=MAX_LOG_DEPTH)
    error = maps[:, Channel.SCENE_DEPTH] - front
    total = weight.sum((1, 2)).clamp(min=1)
    error = (error - ((error * weight).sum((1, 2)) / total)[:, None, None]) * weight
    # Errors are relative to the spread of depths: streets, which reach a hundred times as far as tabletops, would
    # dominate otherwise.
    mean = ((front * weight).sum((1, 2)) / total)[:, None, None]
    spread = (((front - mean).square() * weight).sum((1, 2)) / total).sqrt() + 0.2
    error = error / (2 * spread)[:, None, None]
    depth_loss = (error.abs().sum((1, 2)) / total).mean()
    gap = functional.softplus(maps[:, Channel.SCENE_GAP])
    true_gap = (truth["hidden"].clamp(max=MAX_LOG_DEPTH) - truth["front"].clamp(max=MAX_LOG_DEPTH)).clamp(min=0)
    behind = truth["hidden_known"].float()
    gap_error = (gap - true_gap).abs() * behind
    loss = 2 * depth_loss + _gradient_loss(error, weight) + 0.3 * gap_error.sum() / behind.sum().clamp(min=1)
    log_error = error * (2 * spread)[:, None, None]
    uncertainty = _uncertainty_loss(maps, log_error, gap_error, weight, behind)
    return (loss + UNCERTAINTY_WEIGHT * uncertainty) * truth["fraction"]


def _object_loss(maps: Tensor, truth: dict[str, Tensor]) -> Tensor:
    """Return the loss of objects: front, thickness and centre, relative to the frame's width and to the thickness.

    Shapes are built from centre and thickness, and the centre matters most: with the truth for nineteen models, orbits
    gained 2.6 dB by the centre and 0.35 dB by the thickness. Each image has the same weight however few pixels its
    object has, and errors of thin objects count by what they look like from the side. (The IoU of the solids was tried
    as a loss: it inflates whatever it is unsure of, thin objects most of all.)
    """
    weight = truth["known"].float()
    front = (maps[:, Channel.OBJECT_FRONT] - truth["front"]) * weight
    thickness = functional.softplus(maps[:, Channel.OBJECT_THICKNESS] - 2)
    hidden = (maps[:, Channel.OBJECT_FRONT] + thickness - truth["hidden"]) * weight
    true_thickness = (truth["hidden"] - truth["front"]) * weight
    thickness_error = thickness * weight - true_thickness
    center = 0.5 * (front + hidden)
    pixels = weight.sum((1, 2)).clamp(min=1)
    center_error, size_error, solid = (
        values.abs().sum((1, 2)) / pixels for values in (center, thickness_error, true_thickness)
    )
    absolute = front.abs().sum((1, 2)) / pixels + center_error + 0.5 * size_error
    # One minus the IoU of the true solid with itself shifted by the error, and the same for its size. Both stay bounded
    # where a thin object is far off.
    solid = solid.clamp(min=1e-3)
    relative = 2 * center_error / (solid + center_error) + 0.5 * size_error / (solid + size_error)
    loss = (3 * absolute + 2 * relative).mean()
    loss = loss + _gradient_loss(front, weight) + _gradient_loss(center, weight)
    loss = loss + _gradient_loss(thickness_error, weight)
    near, known = maps[:, Channel.OBJECT_FRONT], truth["known"]
    silhouettes = silhouette_error(near, near + thickness, truth["front"], truth["hidden"], known).mean()
    loss = loss + SILHOUETTE_WEIGHT * silhouettes
    return (loss + UNCERTAINTY_WEIGHT * _uncertainty_loss(maps, front, hidden, weight, weight)) * truth["fraction"]


def _stance_loss(stance: Tensor, batch: GeoBatch) -> Tensor:
    """Return the weighted loss of the orientation of the batch's objects."""
    divergence, angle = stance_errors(stance, batch.planes[batch.is_object], batch.elevation[batch.is_object])
    return STANCE_WEIGHT * (divergence + 3 * angle)


def stance_errors(stance: Tensor, planes: Tensor, elevations: Tensor) -> tuple[Tensor, Tensor]:
    """Return the KL divergence from the true mirror planes [B, 37] and the elevation's mean error in radians."""
    log_planes = stance[:, Stance.PLANES].log_softmax(1)
    divergence = functional.kl_div(log_planes, planes, reduction="none").sum(1).mean()
    return divergence, (stance[:, Stance.ELEVATION] - elevations).abs().mean()


def _gradient_loss(error: Tensor, weight: Tensor) -> Tensor:
    """Return the mean difference of errors between neighbours at strides 1, 2 and 4."""
    total = weight.new_zeros(())
    for stride in (1, 2, 4):
        e, w = error[:, ::stride, ::stride], weight[:, ::stride, ::stride]
        down, right = w[:, 1:] * w[:, :-1], w[:, :, 1:] * w[:, :, :-1]
        total = total + ((e[:, 1:] - e[:, :-1]).abs() * down).sum() / down.sum().clamp(min=1)
        total = total + ((e[:, :, 1:] - e[:, :, :-1]).abs() * right).sum() / right.sum().clamp(min=1)
    return total


def _uncertainty_loss(maps: Tensor, front: Tensor, hidden: Tensor, weight: Tensor, behind: Tensor) -> Tensor:
    """Return the negative log-likelihood of the errors under Laplace distributions of the predicted widths.

    The errors are detached: only the widths are trained.
    """
    total = maps.new_zeros(())
    for channel, error, mask in (
        (Channel.PREDICTED_ERROR, front, weight),
        (Channel.HIDDEN_PREDICTED_ERROR, hidden, behind),
    ):
        log_width = maps[:, channel].clamp(-3, 3)
        likelihood = (error.detach().abs() * torch.exp(-log_width) + log_width) * mask
        total = total + likelihood.sum() / mask.sum().clamp(min=1)
    return total
