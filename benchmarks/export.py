"""`vfa export` to glTF, measured, and played by three.js in headless Chromium beside our own picture.

    python -m benchmarks.export TAKE HEAD --three NODE_MODULES [--browser chromium] [--json FILE] [--sheet PNG]

TAKE is a recording of HEAD with units. NODE_MODULES is a folder into which `npm install three puppeteer-core` has put
both. For units and for the fewest shapes: seconds of processor time, size, what the command says of the error; and, of
five moments, how far three.js's vertices are from the nearest that were recorded. That is told of as many as have one:
inside of mouths and eyeballs that HEAD's file lacks have none, so it is the median and the 75th percentile. The sheet
shows our picture, units and fewest shapes, a row for each moment.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.spatial import cKDTree

from calib.avatar import Avatar
from calib.framing import avatar_view
from core.camera import PUBLISHED_EYE
from realtime.api import prepare_avatar
from realtime.editing.channels import resampled
from realtime.export.posed import PosedAvatar
from realtime.export.take import Take, open_take
from realtime.rig.head_shapes import UNITS_PER_METRE
from realtime.rig.rigged_gltf import GLTF
from render.window.viewer import Viewer

_SIDE = 720
_SHARES = (0.02, 0.2, 0.45, 0.7, 0.95)  # of the recording: the five moments
_BACKGROUND = "#808080"

_PAGE = """<!doctype html><body style="margin:0"><script type="importmap">{"imports":{
"three":"/node_modules/three/build/three.module.js","three/addons/":"/node_modules/three/examples/jsm/"}}</script>
<script type="module">
import * as THREE from "three";
import {GLTFLoader} from "three/addons/loaders/GLTFLoader.js";
try {
  const {view, side, background} = await (await fetch("/view.json")).json();
  const renderer = new THREE.WebGLRenderer({antialias: true, preserveDrawingBuffer: true});
  renderer.setSize(side, side); renderer.setClearColor(background);
  const scene = new THREE.Scene(), sun = new THREE.DirectionalLight(0xffffff, 1.5);
  sun.position.set(0.5, 1, 2); scene.add(sun, new THREE.HemisphereLight(0xffffff, 0x666666, 2.2));
  const camera = new THREE.PerspectiveCamera(view.fov, 1, view.near, view.far);
  camera.position.set(...view.eye); camera.lookAt(...view.target);
  const file = await new GLTFLoader().loadAsync("/head.glb"), meshes = [];
  scene.add(file.scene);
  file.scene.traverse(each => { if (each.isMesh) { each.frustumCulled = false; meshes.push(each); } });
  const mixer = new THREE.AnimationMixer(file.scene);
  mixer.clipAction(file.animations[0]).play();
  window.info = {seconds: file.animations[0].duration, shapes: meshes[0].morphTargetInfluences.length};
  window.picture = at => { mixer.setTime(at); renderer.render(scene, camera); return renderer.domElement.toDataURL(); };
  window.points = () => {
    scene.updateMatrixWorld(true);
    const found = [], point = new THREE.Vector3();
    for (const mesh of meshes)
      for (let i = 0; i < mesh.geometry.attributes.position.count; i += 17)
        found.push(...mesh.getVertexPosition(i, point).applyMatrix4(mesh.matrixWorld).toArray());
    return found;
  };
  window.ready = true;
} catch (error) { window.failed = String(error); }
</script>"""

_SCRIPT = """import fs from "fs"; import http from "http"; import path from "path"; import {pathToFileURL} from "url";
const [modules, browser, folder, ...times] = process.argv.slice(2);
const own = path.join(modules, "puppeteer-core/lib/esm/puppeteer/puppeteer-core.js");
const puppeteer = (await import(pathToFileURL(own))).default;
const kinds = {".js": "text/javascript", ".html": "text/html", ".json": "application/json"};
const server = http.createServer((asked, answer) => {
  const name = decodeURIComponent(asked.url), start = "/node_modules/";
  const file = name.startsWith(start) ? path.join(modules, name.slice(start.length)) : path.join(folder, name);
  if (!fs.existsSync(file)) { answer.writeHead(404); answer.end(); return; }
  answer.writeHead(200, {"content-type": kinds[path.extname(file)] ?? "application/octet-stream"});
  fs.createReadStream(file).pipe(answer);
}).listen(0, "127.0.0.1");
await new Promise(done => server.once("listening", done));
const args = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"];
const window_ = await puppeteer.launch({executablePath: browser, args, protocolTimeout: 300000});
const page = await window_.newPage();
await page.goto(`http://127.0.0.1:${server.address().port}/page.html`);
await page.waitForFunction("window.ready || window.failed", {timeout: 180000});
const failed = await page.evaluate("window.failed");
if (failed) { console.error(failed); process.exit(1); }
const told = {info: await page.evaluate("window.info"), points: []};
for (const [number, at] of times.entries()) {
  const url = await page.evaluate(`window.picture(${at})`);
  fs.writeFileSync(path.join(folder, `${number}.png`), Buffer.from(url.split(",")[1], "base64"));
  told.points.push(await page.evaluate("window.points()"));
}
fs.writeFileSync(path.join(folder, "told.json"), JSON.stringify(told));
await window_.close(); process.exit(0);
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("take", type=Path)
    parser.add_argument("head")
    parser.add_argument("--three", type=Path, required=True, help="node_modules with three and puppeteer-core")
    parser.add_argument("--browser", default="/usr/bin/chromium")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sheet", type=Path)
    given = parser.parse_args()
    take, avatar = open_take(given.take), prepare_avatar(given.head)
    frames = [round(share * (len(take.times_s) - 1)) for share in _SHARES]
    view, own = _own_pictures(take, avatar, frames, Path(given.head))
    wanted = _recorded(take, avatar, frames, Path(given.head))
    found: dict[str, Any] = {"frames": len(take.times_s), "vertices": len(avatar.file_mesh.vertices)}
    columns = [own]
    for shapes in ("units", "fewest"):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "head.glb"
            found[shapes] = _exported(given.take, given.head, shapes, out)
            points, pictures, info = _played(
                given, Path(folder), view, (take.times_s[frames] - take.times_s[0]).tolist()
            )
        columns.append(pictures)
        off = [1000 * cKDTree(want).query(got)[0] for want, got in zip(wanted, points, strict=True)]
        found[shapes] |= info | {
            "three_off_median_mm": [round(float(np.median(each)), 4) for each in off],
            "three_off_75_mm": [round(float(np.percentile(each, 75)), 4) for each in off],
        }
    print(json.dumps(found, indent=1))
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1) + "\n")
    if given.sheet is not None:
        rows = [np.hstack(row) for row in zip(*columns, strict=True)]
        cv2.imwrite(str(given.sheet), np.vstack(rows))
    return 0


def _scene(avatar: Avatar, head: Path) -> tuple[np.ndarray, float]:
    """[4, 4] from avatar units to the scene that the file shows, and metres that one of its units is."""
    T = np.linalg.inv(avatar.T_world_file)
    metres = float(np.cbrt(np.linalg.det(avatar.T_world_file[:3, :3]))) / UNITS_PER_METRE
    if head.suffix.lower() in (*GLTF, ""):  # edited in place; built-in heads are glTF, too
        return T, metres
    T[:3] *= metres  # as the file stands, in metres
    return T, 1.0


def _own_pictures(take: Take, avatar: Avatar, frames: list[int], head: Path) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Where our camera stands in the scene of the file, and what it sees."""
    assert take.motion is not None, "a recording with units"
    motion = resampled(take.motion, take.times_s[frames])
    with Viewer(avatar.display_mesh, (_SIDE, _SIDE), headless=True, intrinsics=avatar_view(avatar)) as viewer:
        pictures = []
        for pose in PosedAvatar(avatar, motion).poses():
            viewer.show(pose.vertices, pose.T_world_head, None, "")
            pictures.append(viewer.read_rgb()[..., ::-1])
        fov = float(np.degrees(2 * np.arctan(_SIDE / 2 / viewer.intrinsics.fy)))
    T = _scene(avatar, head)[0]
    eye, target = (T[:3, :3] @ np.array(at) + T[:3, 3] for at in (PUBLISHED_EYE, (0.0, 0.0, 0.0)))
    far = float(np.linalg.norm(eye - target))
    view = {"fov": fov, "eye": eye.tolist(), "target": target.tolist(), "near": far / 50, "far": far * 10}
    return view, pictures


def _recorded(take: Take, avatar: Avatar, frames: list[int], head: Path) -> list[np.ndarray]:
    """Recorded vertices of those frames, moved with the head, in metres of the scene."""
    assert take.recorded is not None, "a recording with vertices"
    T, metres = _scene(avatar, head)
    linear = metres * T[:3, :3] @ avatar.T_world_file[:3, :3]
    kept = {number: pose for number, pose in enumerate(take.recorded) if number in frames}
    return [(kept[n][0] @ kept[n][1][:3, :3].T + kept[n][1][:3, 3]) @ linear.T for n in frames]


def _exported(take: Path, head: str, shapes: str, out: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "realtime", "export", str(take), "--avatar", head, "--out", str(out)]
    before, began = os.times(), time.monotonic()
    said = subprocess.run([*command, "--shapes", shapes], check=True, capture_output=True, text=True)
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return {
        "processor_s": round(spent, 1),
        "wall_s": round(time.monotonic() - began, 1),
        "megabytes": round(out.stat().st_size / 1e6, 1),
        "said": " ".join(said.stderr.split()).rpartition(".glb: ")[2],
    }


def _played(
    given: argparse.Namespace, folder: Path, view: dict[str, Any], times: list[float]
) -> tuple[list[np.ndarray], list[np.ndarray], dict[str, Any]]:
    """Three.js's vertices in metres of the scene, its pictures, and what it says of the file."""
    (folder / "page.html").write_text(_PAGE)
    (folder / "view.json").write_text(json.dumps({"view": view, "side": _SIDE, "background": _BACKGROUND}))
    (folder / "play.mjs").write_text(_SCRIPT)
    modules = str(given.three.absolute())
    subprocess.run(
        ["node", str(folder / "play.mjs"), modules, given.browser, str(folder), *map(str, times)], check=True
    )
    told = json.loads((folder / "told.json").read_text())
    metres = _scene(prepare_avatar(given.head), Path(given.head))[1]
    points = [metres * np.array(each).reshape(-1, 3) for each in told["points"]]
    pictures = [np.asarray(cv2.imread(str(folder / f"{number}.png"))) for number in range(len(times))]
    return points, pictures, {"three": told["info"]}


if __name__ == "__main__":
    sys.exit(main())
