"""Archives read within bounds: their directory, how entries are packed, what they unpack to."""

import struct
import zipfile

import pytest

from core import untrusted
from core.errors import InputError
from core.untrusted import opened_zip, parse_json, zip_entry


def write_zip(path, method=zipfile.ZIP_DEFLATED, entries=1):
    with zipfile.ZipFile(path, "w", method) as archive:
        for number in range(entries):
            archive.writestr(f"entry{number}", bytes(100_000))
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_entry_is_read_up_to_a_limit(tmp_path, method):
    with opened_zip(write_zip(tmp_path / "a.zip", method)) as archive:
        assert zip_entry(archive, "entry0", "a.zip", 100_000) == bytes(100_000)
        with pytest.raises(InputError, match=r"a\.zip: entry0 unpacks to more than 99999 bytes"):
            zip_entry(archive, "entry0", "a.zip", 99_999)
        with pytest.raises(InputError, match=r"a\.zip: gone is missing"):
            zip_entry(archive, "gone", "a.zip", 10)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packing_that_python_unpacks_whole_is_refused(tmp_path, method):
    with (
        opened_zip(write_zip(tmp_path / "a.zip", method)) as archive,
        pytest.raises(InputError, match="compressed in a way that is not supported"),
    ):
        zip_entry(archive, "entry0", "a.zip", 100_000)


def test_a_directory_without_end_is_refused(tmp_path, monkeypatch):
    path = write_zip(tmp_path / "a.zip", entries=20)
    with opened_zip(path) as archive:
        assert len(archive.namelist()) == 20
    monkeypatch.setattr(untrusted, "_LARGEST_DIRECTORY", 500)
    with pytest.raises(InputError, match=r"a\.zip: lists its entries in 1050 bytes"), opened_zip(path):
        pass
    data = path.read_bytes()
    end = data.rindex(b"PK\5\6")  # the length in a record of 64 bits instead, as large archives have it
    far = b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 20, 20, 1050, data.index(b"PK\1\2"))
    locator = b"PK\6\7" + struct.pack("<IQI", 0, end, 1)
    path.write_bytes(data[:end] + far + locator + data[end : end + 12] + b"\xff" * 8 + data[end + 20 :])
    with pytest.raises(InputError, match="lists its entries in 1050 bytes"), opened_zip(path):
        pass
    monkeypatch.undo()
    with opened_zip(path) as archive:
        assert len(archive.namelist()) == 20


def test_json_may_be_larger_where_its_reader_says_so():
    text = '["' + "a" * 2000 + '"]'
    assert parse_json(text, "it", 3000) == ["a" * 2000]
    with pytest.raises(InputError, match="it: has 2004 bytes of JSON, expected 1000 at most"):
        parse_json(text, "it", 1000)


def test_a_header_of_gigabytes_is_not_read(tmp_path):
    """NumPy reads the whole header of a later version, however long it says it is, before it looks at it."""
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", b"\x93NUMPY\x02\x00" + (600 << 20).to_bytes(4, "little") + bytes(1 << 20))
    with pytest.raises(InputError, match="later version"):
        untrusted.read_arrays(path, 1 << 20)
