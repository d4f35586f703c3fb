"""A comparison as JUnit XML, which GitHub, GitLab and Jenkins show as test results.

A gating finding is a test case: worse is a failure, undecided is skipped (a failure under --strict). A comparison
that could not be made is one case with an error. Elements and attributes are those of the schema of Jenkins' xUnit
plugin (junit-10.xsd).
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

from evalkit.comparison import formatting
from evalkit.comparison.comparison import Comparison, Finding
from evalkit.sinks import xml


def suite(comparison: Comparison) -> str:
    """Return the XML of a comparison."""
    failing = comparison.failing
    skipped = [f for f in comparison.gating if f.verdict == "undecided" and f not in failing]
    root, element = _suite(
        comparison.command, tests=len(comparison.gating), failures=len(failing), errors=0, skipped=len(skipped)
    )
    properties = ET.SubElement(element, "properties")
    values = [("base", formatting.side(comparison.base)), ("new", formatting.side(comparison.new))]
    if comparison.mean:
        values.append((comparison.mean.name, str(comparison.mean)))
    for name, value in values:
        ET.SubElement(properties, "property", name=name, value=value)
    for finding in comparison.gating:
        case = ET.SubElement(element, "testcase", classname=f"evalkit.{finding.family}", name=finding.name, time="0")
        message = _sentence(finding)
        if finding in failing:
            ET.SubElement(case, "failure", type=finding.verdict, message=message).text = message
        elif finding in skipped:
            ET.SubElement(case, "skipped", message=message)
        else:
            ET.SubElement(case, "system-out").text = message
    return _text(root)


def failure(message: str, *, command: str) -> str:
    """Return the XML of a comparison that could not be made, by this command."""
    root, element = _suite(command, tests=1, failures=0, errors=1, skipped=0)
    case = ET.SubElement(element, "testcase", classname="evalkit", name="comparable", time="0")
    ET.SubElement(case, "error", type="CompareError", message=message).text = message
    return _text(root)


def _suite(command: str, *, tests: int, failures: int, errors: int, skipped: int) -> tuple[ET.Element, ET.Element]:
    counts = {"tests": str(tests), "failures": str(failures), "errors": str(errors)}
    root = ET.Element("testsuites", {"name": "evalkit", **counts})
    return root, ET.SubElement(root, "testsuite", {"name": command, **counts, "skipped": str(skipped)})


def _sentence(finding: Finding) -> str:
    f = finding
    return f"{formatting.judgement(f)}: {formatting.figures(f)}, n {f.documents:,}, {f.method}"


def _text(root: ET.Element) -> str:
    """Return a tree as text, without the characters that XML 1.0 cannot hold."""
    for element in root.iter():
        element.text = element.text and xml(element.text)
        element.attrib.update({name: xml(value) for name, value in element.attrib.items()})
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'
