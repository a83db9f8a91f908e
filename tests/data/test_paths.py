import pytest

from savs.data.paths import locate
from savs.errors import DataError


@pytest.fixture
def disk(tmp_path):
    for name in (
        "root/coco/val/1.jpg",
        "root/val/1.jpg",
        "root/1.jpg",
        "root/2.jpg",
        "outside/secret.jpg",
        "data/3.jpg",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path


def test_without_a_root_names_are_relative_to_the_data_file(disk):
    assert locate("3.jpg", disk / "data", None) == disk / "data/3.jpg"
    assert locate("../root/2.jpg", disk / "data", None).resolve() == disk / "root/2.jpg"
    assert locate(str(disk / "root/2.jpg"), disk / "data", None) == disk / "root/2.jpg"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("/their/disk/coco/val/1.jpg", "coco/val/1.jpg"),
        ("/their/disk/val/1.jpg", "val/1.jpg"),
        ("/their/disk/train/1.jpg", "1.jpg"),
        ("their/disk/coco/val/1.jpg", "coco/val/1.jpg"),
        ("C:\\Users\\them\\coco\\val\\1.jpg", "coco/val/1.jpg"),
        ("./2.jpg", "2.jpg"),
    ],
)
def test_with_a_root_the_longest_end_that_exists_is_found(disk, name, found):
    assert locate(name, disk / "data", disk / "root") == disk / "root" / found


def test_an_absolute_path_that_is_in_the_root_already_is_taken_whole(disk):
    assert locate(str(disk / "root/val/1.jpg"), None, disk / "root") == disk / "root/val/1.jpg"


def test_a_root_may_itself_be_a_link(disk):
    (disk / "link").symlink_to(disk / "root")
    assert locate("/x/val/1.jpg", None, disk / "link") == disk / "link/val/1.jpg"


def test_nothing_outside_the_root_is_named(disk):
    root = disk / "root"
    with pytest.raises(DataError, match=r"leaves the image root .* through '\.\.'"):
        locate("../outside/secret.jpg", disk / "data", root)
    with pytest.raises(DataError, match=r"leaves the image root"):
        locate(f"{root}/../outside/secret.jpg", None, root)
    with pytest.raises(DataError, match="is a file under the image root"):
        locate(str(disk / "outside/secret.jpg"), None, root)
    (root / "link.jpg").symlink_to(disk / "outside/secret.jpg")
    (root / "linked").symlink_to(disk / "outside")
    for name in ("link.jpg", "linked/secret.jpg", str(root / "link.jpg")):
        with pytest.raises(DataError, match="is a link that leaves the image root"):
            locate(name, disk / "data", root)


def test_a_file_beside_the_data_does_not_stand_in_for_one_under_the_root(disk):
    with pytest.raises(DataError, match="neither '3.jpg' nor any shorter end of it"):
        locate("3.jpg", disk / "data", disk / "root")


@pytest.mark.parametrize("name", ["gone.jpg", "a" * 5000, "nul\0.jpg", "https://example.org/cat.jpg", "/", "."])
def test_names_of_nothing_are_refused_with_a_hint(disk, name):
    for root in (None, disk / "root"):
        with pytest.raises(DataError, match="image root|give its path") as caught:
            locate(name, disk / "data", root)
        assert len(str(caught.value)) < 600


def test_a_root_that_is_no_folder_is_named(disk):
    with pytest.raises(DataError, match=r"image root .*nowhere is no folder"):
        locate("1.jpg", None, disk / "nowhere")
