import gzip
import io
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crimeguard.ui.tabular import Part, UploadError, parts

HEADER = b"DR_NO,DATE OCC,LOCATION\n"
ROWS = [b"%d,01/02/2023,A ST\n" % number for number in range(7)]


def split(name: str, content: bytes, rows: int = 3) -> list[Part]:
    return list(parts(name, io.BytesIO(content), rows))


def parquet(rows: int) -> bytes:
    sink = io.BytesIO()
    columns = {"DR_NO": [str(n) for n in range(rows)], "Mocodes": [[344, 1822]] * rows,
               "Vict Age": [None] * rows}  # fmt: skip
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("name", "packed"), [("a.csv", lambda data: data), ("A.CSV.GZ", gzip.compress)]
)
def test_a_csv_is_split_and_every_part_has_the_header(
    name: str, packed: Callable[[bytes], bytes]
) -> None:
    found = split(name, packed(HEADER + b"".join(ROWS)))
    assert [part.first for part in found] == [0, 3, 6]
    assert all(part.content.startswith(HEADER) for part in found)
    assert b"".join(part.content.removeprefix(HEADER) for part in found) == b"".join(ROWS)
    assert [row["dr_no"] for part in found for row in part.records] == list("0123456")
    assert [part.name.lower() for part in found] == ["a.csv"] * 3
    shares = [part.done for part in found]
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_progress_moves_with_the_bytes_read() -> None:
    body = HEADER + b"".join(b"%06d,01/02/2023,A ST\n" % number for number in range(9000))
    shares = [part.done for part in split("a.csv", body, 3000)]
    assert shares[0] == pytest.approx(1 / 3, abs=0.05)
    assert shares[1] == pytest.approx(2 / 3, abs=0.05)


def test_quotes_hold_line_breaks_and_commas() -> None:
    body = b'LOCATION,DR_NO\n"A\nST, ""old""",1\n\n  \n"B",2'
    (part,) = split("a.csv", body)
    assert part.records == [
        {"location": 'A\nST, "old"', "dr_no": "1"},
        {"location": "B", "dr_no": "2"},
    ]


def test_a_file_of_exactly_whole_parts_has_no_empty_one() -> None:
    assert [len(part.records) for part in split("a.csv", HEADER + b"".join(ROWS[:6]))] == [3, 3]


def test_a_header_alone_goes_to_the_api_which_says_so() -> None:
    (part,) = split("a.csv", HEADER)
    assert part.content == HEADER
    assert part.records == []


def test_a_byte_order_mark_belongs_to_no_column() -> None:
    (part,) = split("a.csv", b"\xef\xbb\xbf" + HEADER + ROWS[0])
    assert part.records[0]["dr_no"] == "0"


def test_windows_line_ends_are_read() -> None:
    (part,) = split("a.csv", (HEADER + ROWS[0]).replace(b"\n", b"\r\n"))
    assert part.records == [{"dr_no": "0", "date_occ": "01/02/2023", "location": "A ST"}]


def test_parquet_is_split_by_rows() -> None:
    found = split("a.parquet", parquet(7))
    assert [len(part.records) for part in found] == [3, 3, 1]
    assert [part.first for part in found] == [0, 3, 6]
    assert [part.done for part in found] == pytest.approx([3 / 7, 6 / 7, 1.0])
    assert found[0].records[0] == {"dr_no": "0", "mocodes": "344 1822", "vict_age": ""}
    assert pq.read_table(io.BytesIO(found[2].content)).num_rows == 1


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.xlsx", b"PK", "of no kind"),
        ("a.csv", b"", "is empty"),
        ("a.csv", b"\n\n", "is empty"),
        ("a.csv", HEADER + b'1,"open\n' + b"x\n" * 60_000, "Row 1 of a.csv opens a quote"),
        ("a.csv", HEADER + ROWS[0] + b'1,"open', "Row 2 of a.csv opens a quote"),
        ("a.csv", HEADER + b"\xff\xfe\n", "not written in UTF-8"),
        ("a.csv.gz", gzip.compress(HEADER + b"".join(ROWS), mtime=0)[:-12], "damaged gzip"),
        ("a.csv.gz", HEADER, "damaged gzip"),
        ("a.parquet", HEADER, "cannot be read as Parquet"),
        ("a.parquet", parquet(3)[:-9], "cannot be read as Parquet"),
    ],
)
def test_a_broken_file_is_said(name: str, content: bytes, words: str) -> None:
    with pytest.raises(UploadError, match=words):
        split(name, content)


def test_a_part_is_what_the_service_reads(tmp_path: Path) -> None:
    from crimeguard.ingest.source import read_file

    body = HEADER.replace(b"LOCATION", b"AREA") + b"".join(
        b"%d,01/02/2023,08\n" % number for number in range(5)
    )
    for part in split("a.csv", body, 2):
        path = tmp_path / part.name
        path.write_bytes(part.content)
        assert read_file(path).frame["dr_no"].to_list() == [row["dr_no"] for row in part.records]
