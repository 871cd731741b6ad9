"""The table of downloads agrees with itself and with the table of variants."""

from __future__ import annotations

import re

import pytest
from blazeport.models.config import VARIANTS
from blazeport.weights.sources import DEMO_PHOTOS, OFFICIAL, Bucket, Npm, RemoteFile, Wheel

FILES = [*OFFICIAL.values(), *DEMO_PHOTOS]


def test_every_variant_has_an_official_file():
    assert set(OFFICIAL) == set(VARIANTS)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.filename)
def test_a_file_states_hash_size_licence_and_origin(file: RemoteFile):
    assert file.sha256s
    assert all(re.fullmatch("[0-9a-f]{64}", sha256) for sha256 in file.sha256s)
    assert file.size_bytes > 0
    assert file.licence
    assert file.origin


def test_no_two_files_share_a_name_or_a_hash():
    assert len({file.filename for file in FILES}) == len(FILES)
    hashes = [sha256 for file in FILES for sha256 in file.sha256s]
    assert len(set(hashes)) == len(hashes)


@pytest.mark.parametrize("variant", OFFICIAL)
def test_an_official_file_can_be_had_with_and_without_npm(variant: str):
    places = [source.place for source in OFFICIAL[variant].sources]
    assert any(isinstance(place, Npm) for place in places)
    assert any(isinstance(place, Bucket) for place in places)
    assert OFFICIAL[variant].filename == f"{variant}.tflite"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.filename)
def test_every_place_is_pinned(file: RemoteFile):
    for source in file.sources:
        match source.place:
            case Wheel(requirement=requirement):
                assert re.fullmatch(r"[\w-]+==[\d.]+", requirement)
            case Npm(spec=spec):
                assert re.fullmatch(r"@[\w-]+/[\w-]+@[\d.]+", spec)
            case Bucket(url=url):
                assert re.fullmatch(r"https://.+/", url)
                assert "?generation=" in source.member
