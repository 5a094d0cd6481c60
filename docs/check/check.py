#!/usr/bin/env python3
"""Holds the documents against the code. usage: check.py SUBJECT SOURCE-ROOT [ARGUMENT...]

Prints what differs, one line each, and ends with status 1 when anything does; 77 when a tool is missing.
"""
import os
import re
import shutil
import subprocess
import sys

problems = []


def complain(text):
    problems.append(text)


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as f:
        return f.read()


def run(argv, **more):
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60,
                          **more)


def source_files(root, folders, ext=".c"):
    for folder in folders:
        for where, _, names in os.walk(os.path.join(root, folder)):
            for name in sorted(names):
                if name.endswith(ext):
                    yield os.path.join(where, name)


def table_rows(text):
    """The rows of a text's tables as lists of cells, header rows left out."""
    lines = text.splitlines()
    for i, line in enumerate(lines):
        if not line.startswith("|") or line.startswith("|---"):
            continue
        if i + 1 < len(lines) and lines[i + 1].startswith("|---"):
            continue
        yield [c.strip() for c in line.strip().strip("|").split("|")]


# ---- manual pages -------------------------------------------------------------------------------

def page_text(page):
    env = dict(os.environ, MANWIDTH="400", LC_ALL="C.UTF-8", MAN_KEEP_FORMATTING="")
    r = run(["man", "--warnings", "-E", "UTF-8", "-l", page], env=env)
    if r.stderr.strip():
        complain(f"{page}: {r.stderr.strip()}")
    text = re.sub(r".\x08", "", r.stdout)
    return text.replace("\u2010", "-").replace("\u2212", "-")


def check_man(root, *pages):
    for page in pages:
        if not page_text(page).strip():
            complain(f"{page}: nothing comes out")


def options_of(text):
    """Options in a help text; what an example passes to other programs is none of them."""
    text = text.split("\nExample")[0]
    return sorted(set(re.findall(r"(?<![\w-])(--[a-z][a-z0-9-]*)", text)) - {"--help", "--version"}) + [
        "--help"]


def check_options(root, page, program, *more):
    text = page_text(page)
    help_text = run([program, "--help"]).stdout
    if not help_text:
        complain(f"{program}: --help prints nothing")
    for option in options_of(help_text):
        if not re.search(re.escape(option) + r"(?![a-z0-9-])", text):
            complain(f"{page}: option {option} of {os.path.basename(program)} is missing")


def commands_of(program):
    text = run([program, "--help"]).stdout.split("Commands:\n")[1].split("Options of all")[0]
    return [line[2:24].strip() for line in text.splitlines() if line.strip()]


def check_commands(root, page, program):
    """Each command and each of its options: in the page and in docs/user/cli.md, in its section."""
    cli = read(root, "docs/user/cli.md")
    source = read(page)
    for command in commands_of(program):
        help_text = run([program, *command.split(), "--help"]).stdout
        own = help_text.split("Options of all commands:")[0]
        sections = {
            page: re.search(rf"^\.Ss {command}\n(.*?)(?=^\.S[sh] |\Z)", source, re.M | re.S),
            "docs/user/cli.md": re.search(rf"^### {command}\n(.*?)(?=^##|\Z)", cli, re.M | re.S),
        }
        for where, section in sections.items():
            if not section:
                complain(f"{where}: command \"{command}\" is missing")
                continue
            text = section.group(1).replace("\\-", "-")
            for option in options_of(own):
                if option == "--help":
                    continue
                plain = re.search(re.escape(option) + r"(?![a-z0-9-])", text)
                if not plain and not re.search(rf"(?:Fl|,) -{option[2:]}(?![a-z0-9-])", text):
                    complain(f"{where}: option {option} of \"{command}\" is missing")
    for command in re.findall(r"^### (.*)$", cli, re.M):
        if command not in commands_of(program):
            complain(f"docs/user/cli.md: there is no command \"{command}\"")


# ---- the YAML reference -------------------------------------------------------------------------

FORMATS = {
    "FORMAT_NAME": "name",
    "FORMAT_PORT_NAME": "port name",
    "FORMAT_IPV4": "IPv4 address",
    "FORMAT_IPV4_PREFIX": "IPv4 prefix",
    "FORMAT_IP_PREFIX": "IP prefix",
    "FORMAT_IP_INTERFACE": "address/length",
    "FORMAT_MAC": "MAC",
    "FORMAT_LABEL_KEY": "label key",
}


def schema_messages(text):
    """Messages of a .proto file: name -> [(label, type, field, rules)]."""
    text = re.sub(r"//[^\n]*", "", text)
    messages = {}
    for name, body in re.findall(r"^message (\w+) \{(.*?)^\}", text, re.M | re.S):
        fields = []
        for label, kind, field, rules in re.findall(
                r"(repeated )?([\w.]+) (\w+) = \d+(?: \[\(rules\) = \{([^}]*)\}\])?;", body):
            pairs = re.findall(r'(\w+): ("[^"]*"|\S+)', rules)
            fields.append((label.strip(), kind, field, dict((k, v.strip('"')) for k, v in pairs)))
        messages[name] = fields
    return messages


def limits_of(rules, kind, repeated):
    """What the column "limits" must say."""
    out = []
    if rules.get("required") == "true":
        out.append("required")
    if "format" in rules:
        out.append(FORMATS[rules["format"]])
    if "ref" in rules:
        out.append("a " + rules["ref"])
    if "min" in rules and "max" in rules:
        out.append(f"{rules['min']}-{rules['max']}")
    elif "min" in rules:
        out.append(f"at least {rules['min']}")
    elif "max" in rules:
        out.append(f"at most {rules['max']}")
    if "max_len" in rules:
        out.append(f"at most {rules['max_len']} octets")
    if "max_items" in rules:
        out.append(f"at most {rules['max_items']} elements")
    if rules.get("unique") == "true":
        out.append("no element twice")
    if "unique_key" in rules:
        out.append(f"each {rules['unique_key']} once")
    return ", ".join(out)


def check_yaml(root):
    schema = schema_messages(read(root, "proto/audums/v1/fabric.proto"))
    text = read(root, "docs/user/yaml.md")
    wanted = ["Document", "Label", "NumberRange", "Provider", "Site", "Node", "LinkEnd", "Link",
              "Tenant", "Segment", "Attachment", "NodeStatus", "LinkStatus", "SegmentStatus",
              "SegmentNodeStatus", "AttachmentStatus"]
    for message in wanted:
        section = re.search(rf"^#+ .*\(`{message}`\)\n(.*?)(?=^#|\Z)", text, re.M | re.S)
        if not section:
            complain(f"docs/user/yaml.md: no section about `{message}`")
            continue
        rows = {row[0].strip("`"): row for row in table_rows(section.group(1))}
        for label, kind, field, rules in schema[message]:
            row = rows.pop(field, None)
            if row is None:
                complain(f"docs/user/yaml.md: {message}.{field} is missing")
                continue
            if rules.get("output_only") == "true" or message.endswith("Status"):
                continue
            want = limits_of(rules, kind, bool(label))
            if row[2] != want:
                complain(f"docs/user/yaml.md: {message}.{field}: limits are \"{row[2]}\", "
                         f"the schema says \"{want}\"")
        for field in rows:
            complain(f"docs/user/yaml.md: {message} has no field \"{field}\"")


# ---- drops, events, timers ----------------------------------------------------------------------

def check_names(have, text, where, what):
    rows = {row[0].strip("`") for row in table_rows(text) if row[0].startswith("`")}
    for name in sorted(have - rows):
        complain(f"{where}: {what} \"{name}\" is missing")
    for name in sorted(rows - have):
        complain(f"{where}: there is no {what} \"{name}\"")


def check_drops(root):
    names = set(re.findall(r'^\s*X\([A-Z0-9_]+,\s*"([a-z0-9_]+)"',
                           read(root, "dataplane/nodes/drop.h"), re.M))
    check_names(names, read(root, "docs/operator/drops.md"), "docs/operator/drops.md", "drop reason")


def check_counters(root):
    """The lists of counters are X(name) lines of PREFIX_COUNTERS macros."""
    names = set()
    for path in ["dataplane/nodes/stats.h", "dataplane/port/port.h"]:
        for kind, body in re.findall(r"^#define (\w+)_COUNTERS\(X\)((?:.*\\\n)*.*)$", read(root, path), re.M):
            prefix = "punt_" if kind.startswith("PUNT") else ""
            names |= {prefix + name for name in re.findall(r"\bX\((\w+)\)", body)}
    if len(names) < 20:
        complain(f"only {len(names)} counters found")
    text = read(root, "docs/operator/counters.md").split("\n## Telemetry")[0]
    check_names(names | {"inject_packets"}, text, "docs/operator/counters.md", "counter")


def check_events(root):
    names = set()
    for path in source_files(root, ["controller/agent", "controller/audumsd", "controller/rpc",
                                    "controller/ctl/lab", "dataplane", "proto/lib"]):
        code = re.sub(r"/\*.*?\*/", "", read(path), flags=re.S)
        names |= set(re.findall(r'\blog_(?:error|warn|info)\(\s*"([a-z0-9_]+)"', code))
        names |= set(re.findall(r'\blog_event\([^"]*"([a-z0-9_]+)"', code))
        names |= set(re.findall(r'\bagent_event\(\s*[^,()]+(?:->\w+)?,\s*"([a-z0-9_]+)"', code))
    check_names(names, read(root, "docs/operator/events.md"), "docs/operator/events.md", "event")


def constant(root, path, name):
    """The text of a constant's value: of a #define, or of an enumerator."""
    code = read(root, path)
    found = re.search(rf"^#define\s+{name}\s+(.*?)\s*(?:/\*.*)?$", code, re.M) or re.search(
        rf"^\s*{name}\s*=\s*([^,\n]+),", code, re.M)
    return found.group(1) if found else None


def check_timers(root):
    """Rows: what | value | `CONSTANT` `file` | note. The value must be the one in the code."""
    text = read(root, "docs/operator/timers.md")
    checked = 0
    for row in table_rows(text):
        where = re.fullmatch(r"`([A-Z0-9_]+)` in `([^`]+)`", row[2]) if len(row) > 2 else None
        if not where:
            continue
        checked += 1
        name, path = where.groups()
        try:
            code = constant(root, path, name)
        except OSError as error:
            complain(f"docs/operator/timers.md: {error}")
            continue
        if code is None:
            complain(f"docs/operator/timers.md: there is no {name} in {path}")
            continue
        want = re.sub(r"(?<=\d)[uUlL]+\b", "", code).strip()
        value = re.search(r"\(([^()]*(?:\([^()]*\))?[^()]*)\)$", row[1])
        shown = value.group(1) if value else row[1].split()[0].replace(",", "")
        if shown.replace(" ", "") not in (want.replace(" ", ""), want.replace(" ", "").strip("()")):
            complain(f"docs/operator/timers.md: {name}: \"{row[1]}\", {path} says \"{code}\"")
    if checked < 30:
        complain(f"docs/operator/timers.md: only {checked} rows name a constant")


# ---- all documents ------------------------------------------------------------------------------

def check_links(root):
    pages = [os.path.join(root, "README.md")] + list(source_files(root, ["docs"], ".md"))
    for page in pages:
        text = re.sub(r"^(    |\t).*$|```.*?```", "", read(page), flags=re.M | re.S)
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
            if "://" in target:
                continue
            if not os.path.exists(os.path.join(os.path.dirname(page), target)):
                complain(f"{os.path.relpath(page, root)}: link to {target}, which is not there")
        name = os.path.relpath(page, root)
        # files named in running text, from the root of the tree
        for target in re.findall(r"`((?:docs|deploy|topology|proto|tests|bench|dataplane|controller)/"
                                 r"[\w./-]*\w)`", text):
            if not os.path.exists(os.path.join(root, target)):
                complain(f"{name}: names {target}, which is not there")


def check_readmes(root):
    for top in ["bench", "controller", "dataplane", "deploy", "docs", "proto/audums/v1", "proto/lib",
                "tests", "topology"]:
        for where, folders, names in os.walk(os.path.join(root, top)):
            folders[:] = [f for f in folders if f not in ("data", "corpus", "golden", "__pycache__")]
            if names and "README.md" not in names:
                complain(f"{os.path.relpath(where, root)}: has no README.md")


def main():
    subject, root, *rest = sys.argv[1:]
    if subject in ("man", "options", "commands") and not shutil.which("man"):
        print("man(1) is not installed")
        return 77
    globals()["check_" + subject](root, *rest)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
