"""The page: figures as JSON in HTML that draws itself, and each chart in words for who cannot see.

`page.html` is the frame; `page.css`, `charts.js` and `page.js` go into it. No address outside the
page is in it, and its content security policy lets no request out.
"""

from __future__ import annotations

import json
import string
from html import escape
from importlib.resources import files
from pathlib import PurePath
from typing import Any

Report = dict[str, Any]


def page(models: list[Report]) -> str:
    """Write the HTML of what the modules beside this one found out of each model."""
    names = _names([model["file"] for model in models])
    for model, name in zip(models, names, strict=True):
        model["name"] = name
    data = json.dumps({"models": models}, ensure_ascii=False, separators=(",", ":"))

    def lead(model: Report) -> str:
        return f"{model['name']}: " if len(models) > 1 else ""

    words = {
        name: "".join(f"<p>{escape(lead(model) + say(model))}</p>" for model in models)
        for name, say in SUMMARIES.items()
    }
    return string.Template(_asset("page.html")).substitute(
        title=escape(", ".join(names)),
        style=_asset("page.css"),
        script=_asset("charts.js") + _asset("page.js"),
        about="".join(map(_about, models)),
        data=data.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"),
        **words,
    )


def _asset(name: str) -> str:
    asset = files(__package__).joinpath(name)
    try:
        return asset.read_text("utf-8")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(asset)) from None


def _names(paths: list[str]) -> list[str]:
    """Shorten paths to names that are all different."""
    stems = [PurePath(path).stem for path in paths]
    return stems if len(set(stems)) == len(stems) else [
        f"{stem} ({number})" for number, stem in enumerate(stems, 1)
    ]  # fmt: skip


def _about(model: Report) -> str:
    rows = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in model["about"])
    return f"<section class=card><h2>{escape(model['name'])}</h2><dl>{rows}</dl></section>"


# --- each chart in a sentence ---


def _loss(model: Report) -> str:
    valid = model["curves"]["valid"]
    if not valid:
        return "no validation was recorded."
    step, best = min(valid, key=lambda pair: pair[1])
    if len(valid) == 1:
        return f"validation {best:.3f} nats a token at step {step:,}."
    return (f"validation from {valid[0][1]:.3f} to {valid[-1][1]:.3f} nats a token over "
            f"{valid[-1][0]:,} steps; the best, {best:.3f}, at step {step:,}.")  # fmt: skip


def _rate(model: Report) -> str:
    rate = model["curves"]["rate"]
    if not rate:
        return "no learning rate was recorded; rnncli train --metrics does it."
    return (f"the learning rate went from {rate[0][1]:.3g} to {rate[-1][1]:.3g}, at most "
            f"{max(value for _, value in rate):.3g}.")  # fmt: skip


def _norm(model: Report) -> str:
    norm, clip, clipped = (model["curves"][key] for key in ("norm", "clip", "clipped"))
    if not norm:
        return "no gradient norm was recorded; rnncli train --metrics does it."
    line = f"the norm of the gradient went from {norm[0][1]:.3g} to {norm[-1][1]:.3g}"
    if clip is None:
        return line + "; no limit of the norm."
    share = sum(part for _, part in clipped) / len(clipped)
    return line + f"; it was cut to {clip:g} in {share:.0%} of the logged steps."


def _text(model: Report) -> str:
    nats = [value for value in model["text"]["nats"] if value is not None]
    tokens = [text for _, text in model["text"]["tokens"]]
    worst = max(range(len(tokens)), key=lambda k: model["text"]["nats"][k] or 0)
    return (f"{len(tokens)} tokens at {sum(nats) / max(1, len(nats)):.3f} nats a token; the "
            f"greatest surprise is “{tokens[worst]}”.")  # fmt: skip


def _states(model: Report) -> str:
    layers = model["layers"]
    parts = []
    for k, layer in enumerate(layers, 1):
        some = len(layer["units"])
        which = "all" if some == layer["width"] else f"{some}, the slowest,"
        parts.append(f"layer {k}: {which} of {layer['width']} units in "
                     f"{', '.join(layer['series'])}")  # fmt: skip
    return "; ".join(parts) + "."


def _follows(model: Report) -> str:
    parts = []
    for row in model["follows"]:
        if row["units"]:
            layer, series, unit, r = row["units"][0]
            parts.append(f"{row['feature']}, unit {unit} of {series}, layer {layer + 1} "
                         f"(r = {r:.2f})")  # fmt: skip
        else:
            parts.append(f"{row['feature']}, too little of it in this text")
    return "; ".join(parts) + f". By chance about {model['chance']}."


def _lag(model: Report) -> str:
    norms = model["lag"]
    if norms[-1] is None or not norms[0]:
        return "the gradient is not finite."
    half = next((k for k, norm in enumerate(norms) if norm is None or norm < norms[0] / 100), None)
    fall = f"below a hundredth after {half} steps" if half else "never below a hundredth"
    return f"{norms[-1] / norms[0]:.2g} of it is left at lag {len(norms) - 1}; {fall}."


def _spectra(model: Report) -> str:
    parts = []
    for row in model["spectra"]:
        radius = max((abs(complex(*pair)) for pair in row["eigen"]), default=None)
        more = "" if radius is None else f", largest eigenvalue {radius:.2f}"
        parts.append(f"layer {row['layer'] + 1}, {row['gate']}: largest singular value "
                     f"{row['singular'][0]:.2f}{more}")  # fmt: skip
    return "; ".join(parts) + "."


def _parts(model: Report) -> str:
    total = sum(row["parameters"] for row in model["parts"])
    most = max(model["parts"], key=lambda row: row["parameters"])
    share = most["parameters"] / total
    time = ", ".join(f"{row['part']} {row['microseconds']:g}" for row in model["times"])
    return (f"{total:,} parameters, {share:.0%} of them in the {most['part']}; microseconds a "
            f"token: {time}.")  # fmt: skip


SUMMARIES = {
    "loss": _loss, "rate": _rate, "norm": _norm, "text": _text, "states": _states,
    "follows": _follows, "lag": _lag, "spectra": _spectra, "parts": _parts,
}  # fmt: skip
