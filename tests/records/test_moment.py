import datetime as dt

from crimeguard.records.moment import now, to_moment, to_time


def test_a_time_comes_back_to_the_microsecond() -> None:
    time = dt.datetime(2026, 11, 23, 18, 2, 3, 123_457, tzinfo=dt.UTC)
    assert to_time(to_moment(time)) == time
    elsewhere = time.astimezone(dt.timezone(dt.timedelta(hours=-8)))
    assert to_moment(elsewhere) == to_moment(time)


def test_now_is_now() -> None:
    assert abs(to_time(now()) - dt.datetime.now(dt.UTC)) < dt.timedelta(seconds=5)
