"""Options of overlay mounts."""

from pathlib import Path

import pytest

from palan.host import overlay


def test_layers_are_escaped_and_joined():
    data = overlay._page_of_options(["/a:b", "/c,d", "/e\\f"], ["upperdir=/u"])
    assert data == "lowerdir=/a\\:b:/c\\,d:/e\\\\f,upperdir=/u"


def test_more_than_a_page_of_options_does_not_fit():
    assert overlay._page_of_options(["/" + "x" * 4086], []) is None
    assert overlay._page_of_options(["/" + "x" * 4085], []) is not None


def test_upper_and_work_are_given_together(tmp_path):
    with pytest.raises(ValueError, match="work"):
        overlay.mount_overlay([tmp_path], tmp_path, None, tmp_path)
    with pytest.raises(ValueError, match="lower"):
        overlay.mount_overlay([], None, None, tmp_path)


def test_an_unusable_directory_has_a_reason():
    support = overlay.supports_overlay(Path("/proc"))
    assert not support.usable
    assert "/proc" in support.reason


def test_this_file_system_reports_types_of_directory_entries(tmp_path):
    assert overlay._tells_types(str(tmp_path))


def test_given_options_override_the_kernels_defaults():
    assert overlay._is_on("redirect_dir", ["redirect_dir=on"])
    assert not overlay._is_on("redirect_dir", ["index=on", "redirect_dir=off"])
