"""NVIDIA's own sample specs and clips, where somebody has put them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loaders import cosmos as rules
from promptlift.cli.main import _run

REGIONAL = "regionalprompt_test/inference_cosmos_transfer1_single_control_regional_prompt.json"
NAMES = {
    "inference_cosmos_transfer1_multi_control.json": "done",
    "inference_cosmos_transfer1_single_control_depth_short_prompt.json": "done",
    "inference_cosmos_transfer1_single_control_edge_short_prompt.json": "done",
    "inference_cosmos_transfer1_single_control_seg_short_prompt.json": "done",
    "inference_cosmos_transfer1_single_control_vis_short_prompt.json": "done",
    "inference_cosmos_transfer1_uniform_weights.json": "kept",
    REGIONAL: "rejected",
}


@pytest.mark.clips
@pytest.mark.parametrize("name", NAMES)
def test_a_sample_spec_comes_out_as_its_loader_takes_it(
    cosmos_assets: Path, tmp_path: Path, name: str
) -> None:
    """With the paths found from the spec's own place, only the prompt differs, and the loader's
    rules are met; a prompt that a person wrote at length is left alone, and so is one for which
    the embedded engine finds nothing to add in a depth clip.
    """
    spec = cosmos_assets / name
    arguments = ["cosmos", "upsample", str(spec), "--engine", "embedded", "-o", str(tmp_path), "-q"]
    assert _run(arguments) == (1 if NAMES[name] == "rejected" else 0)
    hints, values = rules.transfer1_spec(tmp_path / spec.name)
    old_hints, old_values = rules.transfer1_spec(spec)
    old, new = json.dumps(old_values.pop("prompt")), json.dumps(values.pop("prompt"))
    assert (hints, values) == (old_hints, old_values)
    text = spec.read_text(encoding="utf-8")
    assert (tmp_path / spec.name).read_text(encoding="utf-8") == text.replace(old, new, 1)
    sidecar = json.loads((tmp_path / f"{spec.stem}.promptlift.json").read_text(encoding="utf-8"))
    assert sidecar["items"][0]["status"] == NAMES[name]
    assert (old == new) == (NAMES[name] != "done")
