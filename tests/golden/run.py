#!/usr/bin/env python3
"""Replays recorded conversations with a real Weaviate against Azimuth, and holds the result to a list.

  run.py                 the measure: every topic below, held to known.toml (what `cargo xtask test` runs)
  run.py FILE.. [-v]     only these recordings (paths or names); prints every difference with -v
  run.py --propose       known.toml entries for the steps that differ and are not on the list
  run.py --update        removes from known.toml what holds by now

known.toml lists the steps that do not hold yet or differ on purpose, each with its reason. A step that differs and is
not listed fails, and so does a listed step that holds: the list only gets shorter. The recordings and the comparison
(golden.py) lie outside the repository, in AZIMUTH_SHARED or ../shared; without them the replay is skipped."""

import argparse
import concurrent.futures
import contextlib
import fnmatch
import importlib.util
import io
import json
import os
import pathlib
import shutil
import sys

try:
    import tomllib
except ModuleNotFoundError:
    from pip._vendor import tomli as tomllib

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
KNOWN = HERE / "known.toml"

# The recordings that this server is held to today.
MEASURE = [
    "a-schema-*", "a-http-routes", "b-objects-*", "b-types-*", "b-vectors-*", "b-batch-*", "b-autoschema-*",
    "b-rest-envelope", "b-restart", "b-grpc-limits", "d-bm25-*", "d-hybrid-*", "d-vector-near", "d-vector-metrics", "d-vector-multi",
    "d-vector-targets", "d-search-metadata", "d-search-values", "e-auth-*", "p-*",
    "b-references-*", "b-consistency-level", "c-filter-[b-m]*", "c-filter-nested*", "c-filter-null-length",
    "c-filter-[r-t]*", "c-graphql-errors", "c-graphql-http", "c-graphql-introspection", "c-graphql-language",
    "c-graphql-additional", "c-graphql-variables", "c-groupby", "c-paging*", "c-sort*", "d-vector-async", "d-vector-index-kinds",
    "e-authz-adminlist", "e-graphql-disabled", "e-http", "e-limit-results",
    "e-limit-collections", "e-indexes", "e-indexes-drop", "e-mode-*", "e-tokenize*", "a-tenants-*", "b-tenants-*",
    "a-aliases*", "e-rest-search-*", "d-boost", "d-mmr", "d-search-no-modules",
    "e-limit-tenants-and-shards", "a-shards-nodes", "e-shards-readonly", "c-aggregate*",
]  # fmt: skip

KINDS = ("text", "value")  # only a message differs; a status, a value or a shape differs


def shared_folder():
    for folder in (os.environ.get("AZIMUTH_SHARED"), ROOT.parent / "shared"):
        if folder and (pathlib.Path(folder) / "tools" / "golden.py").is_file():
            return pathlib.Path(folder)
    return None


def load_golden(shared):
    spec = importlib.util.spec_from_file_location("golden", shared / "tools" / "golden.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def recordings(shared, names):
    """The recordings asked for, as a sorted list of paths; those of the measure when none is."""
    available = sorted((shared / "data" / "golden").glob("*.json*"))
    if not names:
        return [p for p in available if any(fnmatch.fnmatch(topic(p), pattern) for pattern in MEASURE)]
    chosen = []
    for name in names:
        matching = [pathlib.Path(name)] if pathlib.Path(name).is_file() else [p for p in available if fnmatch.fnmatch(topic(p), name)]
        if not matching:
            sys.exit(f"no recording is called {name}")
        chosen += matching
    return chosen


def topic(path):
    return path.name.split(".json")[0]


def step_names(steps):
    """A name for each step that is its own: a repeated one gets its number."""
    seen, names = {}, []
    for step in steps:
        name = step.get("name", "")
        seen[name] = seen.get(name, 0) + 1
        names.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return names


def replay(path, serve, shared):
    """Replays one recording against a fresh server; per step the differences [(kind, where, want, got)]."""
    golden = load_golden(shared)
    document = golden.load(str(path))
    names = step_names(document["steps"])
    server, held, results = None, {}, []
    captured = io.StringIO()
    try:
        with contextlib.redirect_stderr(captured):
            server = golden.Server(argparse.Namespace(serve=serve), document.get("env", {}))
            for name, step in zip(names, document["steps"]):
                try:
                    got = server.call(golden.fill(step, held))
                    body = got.get("body", got.get("reply"))
                    held.update({k: golden.at(body, v.split(".")) for k, v in step.get("capture", {}).items()})
                except (golden.requests.RequestException, OSError) as error:
                    got = {"status": 0, "body": f"no answer: {type(error).__name__}"}
                found = golden.diff(step.get("answer", {}), got, step)
                results.append((name, [(k, ".".join(where), want, have) for k, where, want, have in found]))
    except (SystemExit, Exception) as error:  # noqa: BLE001 - whatever ends a replay is that file's result
        reason = f"{type(error).__name__}: {error}"
        results += [(name, [("value", "", "an answer", reason)]) for name in names[len(results) :]]
    finally:
        if server is not None:
            server.stop("kill")
            log = pathlib.Path(server.data + ".log")
            broken = any(diff and diff[0][2] == "an answer" for _, diff in results)
            shutil.rmtree(server.data, ignore_errors=True)
            if not broken:
                log.unlink(missing_ok=True)
    return topic(path), results


def kind_of(differences):
    return "value" if any(d[0] == "value" for d in differences) else "text" if differences else None


def judge(replayed, known):
    """Against the list: steps that differ and are not listed (or worse than listed), and entries that are stale,
    because their step holds by now, differs in its text only, or is gone. Both as (file, step) keys.

    replayed: {(file, step): kind or None}; known: {(file, step): entry}, only of the files replayed."""
    rank = {None: 0, "text": 1, "value": 2}
    listed = {key: rank[entry["kind"]] for key, entry in known.items()}
    unlisted = [key for key, kind in replayed.items() if rank[kind] > listed.get(key, 0)]
    stale = [key for key in known if key not in replayed or rank[replayed[key]] < listed[key]]
    return unlisted, stale


def load_known():
    entries = tomllib.loads(KNOWN.read_text()).get("step", []) if KNOWN.is_file() else []
    for entry in entries:
        if entry.get("kind") not in KINDS or not entry.get("reason", "").strip():
            sys.exit(f"known.toml: {entry.get('file')} / {entry.get('step')}: kind is text or value, and a reason is needed")
    return {(e["file"], e["step"]): e for e in entries}


def write_known(entries):
    head = [line for line in KNOWN.read_text().split("[[step]]")[0].splitlines()]
    text = "\n".join(head).rstrip() + "\n"
    for entry in entries:
        text += "\n[[step]]\n" + "".join(f"{k} = {json.dumps(v, ensure_ascii=False)}\n" for k, v in entry.items())
    KNOWN.write_text(text)


def show(differences, every):
    for kind, where, want, got in differences if every else differences[:2]:
        print(f"        [{kind}] at {where}: want {json.dumps(want)[:300]}, got {json.dumps(got, default=str)[:300]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*")
    parser.add_argument("-v", "--verbose", action="store_true", help="every difference, of listed steps too")
    parser.add_argument("--propose", action="store_true")
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--binary", default=os.environ.get("AZIMUTH_BINARY", str(ROOT / "target" / "release" / "azimuth")))
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    shared = shared_folder()
    if shared is None:
        print("golden: skipped, no recordings (set AZIMUTH_SHARED)")
        return 0
    serve = args.binary + " serve --host 127.0.0.1 --port {http} --scheme http"
    known = load_known()
    paths = recordings(shared, args.files)
    totals, replayed = [0, 0, 0], {}
    with concurrent.futures.ProcessPoolExecutor(args.jobs) as pool:
        for name, results in pool.map(replay, paths, [serve] * len(paths), [shared] * len(paths)):
            kinds = {(name, step): kind_of(differences) for step, differences in results}
            counts = [list(kinds.values()).count(kind) for kind in (None, *KINDS)]
            totals = [a + b for a, b in zip(totals, counts)]
            print("%-34s %4d same %4d text %4d wrong" % (name, *counts), flush=True)
            replayed.update(kinds)
            bad, _ = judge(kinds, {key: entry for key, entry in known.items() if key in kinds})
            for step, differences in results:
                key = name, step
                if key in bad or (differences and args.verbose):
                    print(f"    {step}" + (f" (listed: {known[key]['reason']})" if key in known else ""))
                    show(differences, args.verbose)
    measured = sum(totals) or 1
    print("total: %d same, %d text, %d wrong of %d steps (%.1f %% wrong)" % (*totals, measured, 100 * totals[2] / measured))
    topics = {topic(path) for path in paths}
    unlisted, stale = judge(replayed, {key: entry for key, entry in known.items() if key[0] in topics})
    if args.propose:
        for name, step in unlisted:
            kind = replayed[name, step]
            print(f'\n[[step]]\nfile = {json.dumps(name)}\nstep = {json.dumps(step, ensure_ascii=False)}\nkind = "{kind}"\nreason = ""')
    if args.update:
        for key in stale:
            kind = replayed.get(key)
            known[key] = {**known[key], "kind": kind} if kind else None
        write_known([entry for entry in known.values() if entry])
        stale = []
    for name, step in stale:
        print(f"known.toml lists {name} / {step}, which holds better by now: run tests/golden/run.py --update")
    if unlisted:
        print(f"{len(unlisted)} step(s) differ and are not in known.toml")
    return 1 if unlisted or stale else 0


if __name__ == "__main__":
    sys.exit(main())
