"""Real documents on this machine, cut into passages."""

import gzip
import itertools
import os
import pathlib
import random
import re

TEXT = (".md", ".markdown", ".txt", ".rst")
PASSAGE_WORDS, PASSAGE_WORDS_MIN = 80, 20
SHARE, PER_DOCUMENT_MAX = 20, 6
DOCUMENT_BYTES_MAX = 1 << 20


def below(folder, *patterns):
    """Files in an order that mixes topics and is the same on every run."""
    folder = pathlib.Path(folder)
    paths = [path for pattern in patterns for path in sorted(folder.glob(pattern)) if path.is_file()]
    random.Random(0).shuffle(paths)
    return paths


def default_groups(root):
    """(name, files) in the order of interest; a group that this machine lacks is empty."""
    cargo = pathlib.Path(os.environ.get("CARGO_HOME", pathlib.Path.home() / ".cargo"))
    return [
        ("this project", below(root, "*.md", "docs/**/*.md", "deploy/**/*.md", "crates/**/*.md")),
        ("crates", below(cargo / "registry" / "src", "*/*/README.md")),
        ("Node.js", below("/usr/share/doc/nodejs/api", "*.md")),
        ("npm", below("/usr/lib/node_modules/npm/docs/content", "**/*.md")),
        ("manual pages", below("/usr/share/man", "man5/*.5.gz", "man7/*.7.gz", "man8/*.8.gz")),
        ("/usr/share/doc", below("/usr/share/doc", "*/README*", "*/*.md", "*/*.txt", "*/*.txt.gz")),
    ]


def folder_group(folder):
    folder = pathlib.Path(folder)
    files = (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in TEXT and path.is_file())
    return [(str(folder), files)]


def passages(groups, limit):
    """At most `limit` passages as {source, title, text}, taken from the groups in turn, each text once."""
    seen, found = set(), []
    # The first group is what matters, all of it; of a document of the others a few passages do.
    running = [passages_of(name, files, None if i == 0 else PER_DOCUMENT_MAX) for i, (name, files) in enumerate(groups)]
    first = running[0]
    while running and len(found) < limit:
        for group in list(running):
            part = list(itertools.islice(group, min(limit if group is first else SHARE, limit - len(found))))
            if not part:
                running.remove(group)
            for passage in part:
                if passage["text"] not in seen:
                    seen.add(passage["text"])
                    found.append(passage)
    return found


def passages_of(name, files, per_document):
    for path in files:
        text = read(path)
        if text is None:
            continue
        if name == "manual pages":
            title, text = path.name.removesuffix(".gz"), plain_manual(text)
        elif name == "crates":
            title = path.parent.name
        elif name == "/usr/share/doc":
            title = f"{path.parent.name}/{path.name}"
        else:
            title = path.name
        for heading, passage in itertools.islice(cut(text), per_document):
            yield {"source": name, "title": title + (f", {heading}" if heading else ""), "text": passage}


def read(path):
    try:
        if path.stat().st_size > DOCUMENT_BYTES_MAX:
            return None
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8", errors="strict") as file:
            return file.read(4 * DOCUMENT_BYTES_MAX)
    except (OSError, UnicodeDecodeError, EOFError):
        return None


def plain_manual(text):
    """The words of a manual page: requests become headings or go, font changes go."""
    lines = []
    for line in text.splitlines():
        if line.startswith((".SH", ".SS")):
            lines += ["", "# " + line[3:].strip().strip('"').capitalize(), ""]
        elif line.startswith((".PP", ".TP", ".P", ".IP", ".LP", ".sp")):
            lines.append("")
        elif line.startswith((".B", ".I", ".BR", ".BI", ".IR", ".RB", ".RI")) and " " in line:
            lines.append(line.split(" ", 1)[1].replace('"', ""))
        elif not line.startswith((".", "'")):
            lines.append(line)
    text = "\n".join(lines)
    for pattern, plain in ((r"\\f(\(\w\w|\[\w*\]|.)", ""), (r"\\\((aq|cq|oq)", "'"), (r"\\\((lq|rq|dq)", '"'), (r"\\-", "-"), (r"\\.", "")):
        text = re.sub(pattern, plain, text)
    return text


def cut(text):
    """(heading, passage) of a Markdown or plain text: paragraphs under one heading, put together to about 80 words."""
    heading, words = "", []
    for paragraph in re.split(r"\n\s*\n", re.sub(r"```.*?```", "\n\n", text, flags=re.DOTALL)):
        lines = []
        for line in paragraph.splitlines():
            title = re.match(r"#{1,6}\s+(.*)", line)
            if title:
                yield from whole(heading, words + " ".join(lines).split())
                heading, words, lines = re.sub(r"[#`*]|\[|\]\([^)]*\)", "", title[1]).strip(), [], []
            elif not line.startswith(("    ", "\t", "|", "<", "![", "[![")):
                lines.append(line)
        words += re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(lines)).split()
        if len(words) >= PASSAGE_WORDS:
            yield from whole(heading, words)
            words = []
    yield from whole(heading, words)


def whole(heading, words):
    """Passages of a readable length; what is too short, or mostly not words, is left out."""
    for start in range(0, len(words), 2 * PASSAGE_WORDS):
        part = words[start : start + 2 * PASSAGE_WORDS]
        letters = sum(c.isalpha() or c.isspace() for c in " ".join(part))
        if len(part) >= PASSAGE_WORDS_MIN and letters > 0.75 * sum(len(word) + 1 for word in part):
            yield heading, " ".join(part)
