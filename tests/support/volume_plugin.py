"""A volume driver that really mounts: each volume is a directory, mounted by a bind mount."""

import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

from tests.support.plugin import TestPlugin


class BindingDriver(TestPlugin):
    """Volumes are directories below ``base/data``, mounted at ``base/mnt/NAME``.

    Attributes:
        mounted: for each volume, the ids that have mounted it.
        fail: the error messages of the methods that fail.
    """

    def __init__(self, socket: Path, base: Path) -> None:
        self.base = base
        self.mounted: dict[str, list[str]] = {}
        self.fail: dict[str, str] = {}
        self._turn = threading.Lock()
        for part in ("data", "mnt"):
            (base / part).mkdir(parents=True, exist_ok=True)
        names = ("Create", "Remove", "Get", "List", "Path", "Mount", "Unmount", "Capabilities")
        super().__init__(
            socket,
            ("VolumeDriver",),
            {f"VolumeDriver.{name}": self._method(name) for name in names},
        )

    def data(self, name: str) -> Path:
        return self.base / "data" / name

    def place(self, name: str) -> Path:
        return self.base / "mnt" / name

    def _method(self, name: str) -> Any:
        def method(asked: dict[str, Any]) -> dict[str, Any]:
            with self._turn:
                if name in self.fail:
                    return {"Err": self.fail[name]}
                answer: dict[str, Any] = getattr(self, f"_{name.lower()}")(asked)
                return answer

        return method

    def _create(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.data(asked["Name"]).mkdir(exist_ok=True)
        return {}

    def _remove(self, asked: dict[str, Any]) -> dict[str, Any]:
        if self.mounted.get(asked["Name"]):
            return {"Err": "still mounted"}
        shutil.rmtree(self.data(asked["Name"]))
        return {}

    def _describe(self, name: str) -> dict[str, Any]:
        mountpoint = str(self.place(name)) if self.mounted.get(name) else ""
        return {"Name": name, "Mountpoint": mountpoint, "Status": {"users": len(self.mounted)}}

    def _get(self, asked: dict[str, Any]) -> dict[str, Any]:
        if not self.data(asked["Name"]).is_dir():
            return {"Err": f"no volume {asked['Name']}"}
        return {"Volume": self._describe(asked["Name"])}

    def _list(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"Volumes": [self._describe(path.name) for path in (self.base / "data").iterdir()]}

    def _path(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"Mountpoint": self._describe(asked["Name"])["Mountpoint"]}

    def _mount(self, asked: dict[str, Any]) -> dict[str, Any]:
        name, place = asked["Name"], self.place(asked["Name"])
        users = self.mounted.setdefault(name, [])
        if not users:
            place.mkdir(exist_ok=True)
            subprocess.run(["mount", "--bind", self.data(name), place], check=True)
        users.append(asked["ID"])
        return {"Mountpoint": str(place)}

    def _unmount(self, asked: dict[str, Any]) -> dict[str, Any]:
        name, users = asked["Name"], self.mounted.get(asked["Name"], [])
        if asked["ID"] not in users:
            return {"Err": f"{asked['ID']} has not mounted {name}"}
        users.remove(asked["ID"])
        if not users:
            subprocess.run(["umount", self.place(name)], check=True)
            self.place(name).rmdir()
        return {}

    def _capabilities(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"Capabilities": {"Scope": "global"}}

    def close(self) -> None:
        super().close()
        for name, users in self.mounted.items():
            if users:
                subprocess.run(["umount", "-l", self.place(name)], check=False)
        shutil.rmtree(self.base, ignore_errors=True)
