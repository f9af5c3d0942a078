import pytest
from hypothesis import given
from hypothesis import strategies as st

from palan.api.containers import (
    BindOptions,
    ContainerConfig,
    HostConfig,
    ImageOptions,
    Mount,
    TmpfsOptions,
    VolumeDriverConfig,
    VolumeOptions,
)
from palan.api.errors import InvalidParameter
from palan.engine.containers.validate_mounts import (
    MountRequest,
    mount_requests,
    parse_bind,
    parse_mount,
    parse_volumes_from,
    valid_mode,
    validate_mounts,
    volume_driver_warnings,
)


def anything(_path):
    return True


def test_the_short_form():
    assert parse_bind("/a//b/:/c/../d:ro,rslave") == MountRequest(
        "bind",
        "/d",
        "/a/b",
        read_only=True,
        mode="ro,rslave",
        propagation="rslave",
        create_source=True,
    )
    assert parse_bind("data:/x:nocopy,z", "local") == MountRequest(
        "volume",
        "/x",
        "data",
        mode="nocopy,z",
        create_source=True,
        copy=False,
        driver="local",
    )
    anonymous = parse_bind("/only")
    assert (anonymous.kind, anonymous.source, anonymous.destination) == ("volume", "", "/only")
    assert parse_bind("/a:/b").propagation == "rprivate"
    assert parse_bind("//a:///b").destination == "/b"


ABSOLUTE = "mount path must be absolute"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid volume specification: ''"),
        (":/x", "invalid volume specification: ':/x'"),
        ("/x:ro", "invalid volume specification: '/x:ro'"),
        ("a:/b:ro:x", "invalid volume specification: 'a:/b:ro:x'"),
        (
            "nowhere",
            (
                "invalid volume specification: 'nowhere': invalid mount config for type"
                f" \"volume\": invalid mount path: 'nowhere' {ABSOLUTE}"
            ),
        ),
        (
            "/tmp:x",
            (
                "invalid volume specification: '/tmp:x': invalid mount config for type"
                f" \"bind\": invalid mount path: 'x' {ABSOLUTE}"
            ),
        ),
        (
            "/tmp:/",
            (
                "invalid volume specification: '/tmp:/': invalid mount config for type"
                " \"bind\": invalid specification: destination can't be '/'"
            ),
        ),
        ("/tmp:/x:bogus", "invalid mode: bogus"),
        ("/tmp:/x:ro,rw", "invalid mode: ro,rw"),
        (
            "vol:/x:rslave",
            (
                "invalid volume specification: 'vol:/x:rslave': invalid mount config for type"
                ' "volume": field BindOptions must not be specified'
            ),
        ),
        (
            "/a:/x:nocopy",
            (
                "invalid volume specification: '/a:/x:nocopy': invalid mount config for type"
                ' "bind": field VolumeOptions must not be specified'
            ),
        ),
        (
            "rec bad name:/x",
            (
                'create rec bad name: "rec bad name" includes invalid characters for a local'
                ' volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to'
                " pass a host directory, use absolute path"
            ),
        ),
        (
            "v:/x",
            (
                "create v: volume name is too short,"
                " names should be at least two alphanumeric characters"
            ),
        ),
    ],
)
def test_invalid_short_forms(text, message):
    with pytest.raises(InvalidParameter) as caught:
        parse_bind(text)
    assert caught.value.message == message


def test_modes():
    for mode in ("", "ro", "rw,z", "Z,rshared,cached", "nocopy"):
        assert valid_mode(mode)
    for mode in ("ro,ro", "z,Z", "bogus", "ro,", "private,rprivate"):
        assert not valid_mode(mode)


def test_the_long_form():
    bind = Mount(
        type="bind",
        source="/a/",
        target="/b",
        read_only=True,
        bind_options=BindOptions(
            propagation="shared", non_recursive=True, read_only_force_recursive=True
        ),
    )
    assert parse_mount(bind, anything) == MountRequest(
        "bind",
        "/b",
        "/a",
        read_only=True,
        propagation="shared",
        recursive=False,
        read_only_recursive="required",
    )
    volume = Mount(
        type="volume",
        source="data",
        target="/d",
        volume_options=VolumeOptions(
            no_copy=True,
            labels={"a": "b"},
            driver_config=VolumeDriverConfig(name="nfs", options={"o": "1"}),
            subpath="in/it",
        ),
    )
    assert parse_mount(volume, anything) == MountRequest(
        "volume",
        "/d",
        "data",
        create_source=True,
        copy=False,
        driver="nfs",
        driver_options={"o": "1"},
        labels={"a": "b"},
        subpath="in/it",
    )
    tmpfs = Mount(type="tmpfs", target="/t", tmpfs_options=TmpfsOptions(size_bytes=1024))
    assert parse_mount(tmpfs, anything).tmpfs_options == "size=1k"
    image = Mount(type="image", source="busybox", target="/i", image_options=ImageOptions())
    assert parse_mount(image, anything).read_only


def invalid(kind, why):
    return f'invalid mount config for type "{kind}": {why}'


@pytest.mark.parametrize(
    ("mount", "message"),
    [
        (Mount(type="bogus", target="/x"), invalid("bogus", "mount type unknown")),
        (Mount(type="cluster", target="/x"), invalid("cluster", "mount type unknown")),
        (Mount(type="volume"), invalid("volume", "field Target must not be empty")),
        (
            Mount(type="volume", target="/."),
            invalid("volume", "invalid specification: destination can't be '/'"),
        ),
        (
            Mount(type="volume", target="x"),
            invalid("volume", f"invalid mount path: 'x' {ABSOLUTE}"),
        ),
        (
            Mount(type="bind", target="/x"),
            invalid("bind", "field Source must not be empty"),
        ),
        (
            Mount(type="bind", source="a", target="/x"),
            invalid("bind", f"invalid mount path: 'a' {ABSOLUTE}"),
        ),
        (
            Mount(type="bind", source="/absent", target="/x"),
            invalid("bind", "bind source path does not exist: /absent"),
        ),
        (
            Mount(
                type="bind",
                source="/here",
                target="/x",
                bind_options=BindOptions(propagation="sideways"),
            ),
            invalid("bind", "invalid propagation mode: sideways"),
        ),
        (
            Mount(type="bind", source="/here", target="/x", volume_options=VolumeOptions()),
            'VolumeOptions must not be specified on mount type "bind"',
        ),
        (
            Mount(type="bind", source="/here", target="/x", image_options=ImageOptions()),
            invalid("bind", "field ImageOptions must not be specified"),
        ),
        (
            Mount(
                type="bind",
                source="/here",
                target="/x",
                read_only=True,
                bind_options=BindOptions(
                    read_only_non_recursive=True, read_only_force_recursive=True
                ),
            ),
            "mount options conflict: ReadOnlyNonRecursive && BindOptions.ReadOnlyForceRecursive",
        ),
        (
            Mount(type="tmpfs", source="/tmp", target="/x"),
            invalid("tmpfs", "field Source must not be specified"),
        ),
        (
            Mount(type="tmpfs", target="/x", tmpfs_options=TmpfsOptions(options=[["uid"]])),
            invalid("tmpfs", "invalid option: uid"),
        ),
        (
            Mount(type="volume", target="/x", volume_options=VolumeOptions(subpath="a")),
            invalid("volume", "must not set Subpath when using anonymous volumes"),
        ),
        (
            Mount(
                type="volume",
                source="data",
                target="/x",
                volume_options=VolumeOptions(subpath="../a"),
            ),
            invalid("volume", "subpath must be a relative path within the volume"),
        ),
    ],
)
def test_invalid_long_forms(mount, message):
    with pytest.raises(InvalidParameter) as caught:
        parse_mount(mount, lambda path: path == "/here")
    assert caught.value.message == message


def test_a_source_that_shall_be_made_need_not_exist():
    mount = Mount(
        type="bind",
        source="/absent",
        target="/x",
        bind_options=BindOptions(create_mountpoint=True),
    )
    assert parse_mount(mount, lambda _: False).create_source


def test_volumes_of_others():
    assert parse_volumes_from("web") == ("web", "rw")
    assert parse_volumes_from("web:ro,z") == ("web", "ro,z")
    for text in ("web:bogus", "web:rslave", "web:nocopy"):
        with pytest.raises(InvalidParameter, match=r"^invalid mode: "):
            parse_volumes_from(text)
    with pytest.raises(InvalidParameter, match="cannot be an empty string"):
        parse_volumes_from("")


def test_all_together():
    config = ContainerConfig(volumes={"/a": {}, "/image": {}, "relative": {}})
    host_config = HostConfig(
        binds=["data:/a"],
        mounts=[Mount(type="tmpfs", target="/b")],
        tmpfs={"/c/": "size=1m"},
    )
    requests = mount_requests(config, host_config)
    assert [(r.destination, r.kind, r.from_image, r.listed) for r in requests] == [
        ("/a", "volume", False, True),
        ("/b", "tmpfs", False, True),
        ("/c", "tmpfs", False, False),
        ("/image", "volume", True, True),
        ("/relative", "volume", True, True),
    ]


@pytest.mark.parametrize(
    "host_config",
    [
        HostConfig(binds=["/tmp:/x", "/etc:/x/"]),
        HostConfig(binds=["/tmp:/x"], mounts=[Mount(type="tmpfs", target="/x")]),
        HostConfig(binds=["/tmp:/x"], tmpfs={"/x": ""}),
    ],
)
def test_one_mount_a_place(host_config):
    with pytest.raises(InvalidParameter, match=r"^Duplicate mount point: /x$"):
        mount_requests(ContainerConfig(), host_config)


def check(host_config, *, recursive_read_only=True):
    return validate_mounts(
        ContainerConfig(),
        host_config,
        path_exists=anything,
        recursive_read_only=recursive_read_only,
    )


def test_options_of_tmpfs_are_checked_at_create():
    with pytest.raises(InvalidParameter, match=r'^invalid tmpfs option "bogus"$'):
        check(HostConfig(tmpfs={"/x": "bogus"}))
    with pytest.raises(InvalidParameter, match="destination can't be '/'"):
        check(HostConfig(tmpfs={"/": ""}))


def test_read_only_for_sure_needs_a_kernel_that_can():
    mount = Mount(
        type="bind",
        source="/a",
        target="/b",
        read_only=True,
        bind_options=BindOptions(read_only_force_recursive=True),
    )
    assert check(HostConfig(mounts=[mount])) == []
    with pytest.raises(InvalidParameter, match="rro is not supported"):
        check(HostConfig(mounts=[mount]), recursive_read_only=False)


def test_the_volume_driver_is_about_the_short_form():
    mount = Mount(type="volume", source="data", target="/x")
    assert volume_driver_warnings(HostConfig(mounts=[mount])) == []
    (warning,) = volume_driver_warnings(HostConfig(volume_driver="nfs", mounts=[mount]))
    assert warning.startswith("WARNING: the container-wide volume-driver")


@given(st.text(alphabet="ab/:.,ro z\x00é", max_size=12))
def test_any_text_is_a_bind_or_a_mistake(text):
    try:
        request = parse_bind(text)
    except InvalidParameter:
        return
    assert request.destination.startswith("/")
    assert request.destination != "/"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/a\0b", "invalid mount path: it contains a NUL character"),
        (f"/{'x' * 256}", f"invalid mount path: '/{'x' * 256}': file name too long"),
        ("/x" * 2048, f"invalid mount path: '{'/x' * 2048}': file name too long"),
    ],
)
def test_paths_that_the_kernel_does_not_take(path, message):
    for config, host_config in (
        (ContainerConfig(volumes={path: {}}), HostConfig()),
        (ContainerConfig(), HostConfig(binds=[f"{path}:/x"])),
        (ContainerConfig(), HostConfig(binds=[f"/tmp:{path}"])),
        (ContainerConfig(), HostConfig(tmpfs={path: ""})),
    ):
        with pytest.raises(InvalidParameter) as caught:
            mount_requests(config, host_config)
        assert caught.value.message == message
    assert mount_requests(ContainerConfig(volumes={f"/{'x' * 255}": {}}), HostConfig())
