import json

from crimeguard.validate.finding import Evidence, Finding, Severity


def test_a_finding_is_written_in_json_types() -> None:
    finding = Finding(
        check="area_known", severity=Severity.ERROR, count=2, share=0.5, meaning="Unknown.",
        fix="Correct them.", evidence=(Evidence(3, "23", "22"), Evidence(None, None, "x")),
        values=(("22", 2),),
    )  # fmt: skip
    assert json.loads(json.dumps(finding.to_dict())) == {
        "check": "area_known", "severity": "error", "count": 2, "share": 0.5,
        "meaning": "Unknown.", "fix": "Correct them.",
        "evidence": [{"row": 3, "dr_no": "23", "value": "22"},
                     {"row": None, "dr_no": None, "value": "x"}],
        "values": [{"value": "22", "count": 2}],
    }  # fmt: skip
