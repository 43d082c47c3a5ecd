import pytest

from crimeguard.domain.secret import placeholder


@pytest.mark.parametrize(
    "value",
    [
        "changethis", "ChangeThis", " changethis ", "changeme", "change-me", "change_me!",
        "changeme123", "replace-me", "password", "password1234", "passwd", "secret", "mysecret",
        "example", "xxx", "XXXXXX", "...", "***", "your-password", "your_token_here",
        "<token>", "<your DagsHub token>", "${DVC_PASSWORD}", "{{ password }}", "todo",
        "token", "admin", "minioadmin",
        "postgresql://crimeguard:changethis@db/records", "postgresql://u:password@db/records",
        "postgresql://u:%3Cpassword%3E@db/records", "smtps://me:secret@mail.city.gov",
        "https://hooks.city.gov/services/T0/B0/changethis", "https://host/x?token=changethis",
        "https://host/x?token=<token>", "console:predict:changethis",
        "console:predict:0a1b,probe:predict:changeme",
    ],
)  # fmt: skip
def test_what_stands_in_examples_is_a_placeholder(value: str) -> None:
    assert placeholder(value)


@pytest.mark.parametrize(
    "value",
    [
        "", "  ", "Quartz-9-plume", "hunter2 and more", "not-a-password", "secretary-of-state-7",
        "changethisworld-4", "exchangeme", "tokenize", "AKIAIOSFODNN7",
        "postgresql://crimeguard:q7TfWv@db/example", "postgresql://crimeguard@db/secret",
        "postgresql://u:p%40ss%2Fword9@db/records", "sqlite:////srv/secret/records.db",
        "https://example.org/services/T0/B0/q7TfWv", "https://hooks.city.gov/secret/password",
        "http://[::1]:5001", "http://[broken", "s3://example/secret",
        "console:predict+label:0a1b", "example:predict:0a1b",
    ],
)  # fmt: skip
def test_what_somebody_means_is_none(value: str) -> None:
    assert not placeholder(value)
