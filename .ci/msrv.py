"""The stated minimum Rust holds for every dependency; with that toolchain, got if it can be, it is also compiled."""

import json
import subprocess
import sys


def version(text):
    return tuple(int(part) for part in (text.split("-")[0].split(".") + ["0", "0"])[:3])


def main():
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--all-features"]
    packages = json.loads(subprocess.check_output(command))
    names = {package["id"]: package for package in packages["packages"]}
    root = names[packages["resolve"]["root"]]
    stated = root["rust_version"]
    reached, todo = set(), [root["id"]]
    nodes = {node["id"]: node for node in packages["resolve"]["nodes"]}
    while todo:
        one = todo.pop()
        if one not in reached:
            reached.add(one)
            normal = [d for d in nodes[one]["deps"] if any(k["kind"] != "dev" for k in d["dep_kinds"])]
            todo += [dependency["pkg"] for dependency in normal]
    newer = [
        f"{names[one]['name']} {names[one]['version']} needs {names[one]['rust_version']}"
        for one in reached
        if names[one]["rust_version"] and version(names[one]["rust_version"]) > version(stated)
    ]
    if newer:
        sys.exit(f"stated minimum is Rust {stated}, but:\n" + "\n".join(sorted(newer)))
    print(f"{len(reached)} packages build with Rust {stated} by their own word")
    minor = ".".join(stated.split(".")[:2])
    subprocess.run(["rustup", "toolchain", "install", minor, "--profile", "minimal"], capture_output=True)
    if subprocess.run(["rustup", "run", minor, "cargo", "--version"], capture_output=True).returncode == 0:
        subprocess.check_call(["rustup", "run", minor, "cargo", "check", "--locked", "--all-features"])
    else:
        print(f"toolchain {minor} cannot be had here: the workflow's msrv job compiles with it")


main()
