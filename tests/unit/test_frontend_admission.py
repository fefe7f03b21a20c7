"""Can it be in time? The rules, without an engine."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clipper_frontend import admission
from clipper_frontend.admission import Forecast, Plan, Station
from clipper_frontend.hedging import HedgeBudget, look_ns

MS = 1_000_000
NOW = 1000 * MS


def line(fixed_ms: float, per_row_ms: float, rows: int = 1000) -> Plan:
    return Plan(rows, fixed_ms * MS, per_row_ms * MS)


def station(
    free_ms: float = 0, rows: int = 10, fixed_ms: float = 5, per_row_ms: float = 1, margin_ms: int = 0, last: int = 0
) -> Station:
    free_ns = int(NOW + free_ms * MS) if free_ms else 0
    return Station(free_ns, rows, fixed_ms * MS, per_row_ms * MS, margin_ms * MS, last)


def in_ms(forecast: Forecast, rows: int) -> float:
    return (forecast.finish_ns(NOW, rows) - NOW) / MS


def test_a_batch_takes_less_than_half_of_the_objective() -> None:
    assert admission.target_ns(100 * MS, 5 * MS) == 45 * MS


def test_where_the_smallest_batch_takes_more_a_batch_may_take_a_little_more_than_that() -> None:
    assert admission.target_ns(20 * MS, 12 * MS) == 15 * MS


def test_an_idle_replica_answers_after_one_batch() -> None:
    forecast = Forecast([station()], NOW)
    assert in_ms(forecast, 1) == 6
    assert in_ms(forecast, 10) == 15


def test_more_than_a_batch_takes_several_full_ones_since_others_come_behind() -> None:
    assert in_ms(Forecast([station()], NOW), 25) == 3 * 15


def test_a_busy_replica_answers_when_it_has_done_what_it_has() -> None:
    assert in_ms(Forecast([station(free_ms=8)], NOW), 3) == 8 + 5 + 3


def test_replicas_share_the_rows_that_wait() -> None:
    assert in_ms(Forecast([station(), station()], NOW), 40) == 2 * 15


def test_the_one_that_is_free_first_takes_the_next_batch() -> None:
    assert in_ms(Forecast([station(free_ms=30), station(free_ms=2)], NOW), 4) == 2 + 5 + 4


def test_a_replica_that_is_late_is_expected_to_be_as_late_again() -> None:
    assert in_ms(Forecast([station(free_ms=-7)], NOW), 1) == 7 + 6


def test_queries_are_admitted_as_long_as_they_can_be_in_time() -> None:
    forecast = Forecast([station(free_ms=10)], NOW)
    admitted = [rows for rows in range(1, 40) if forecast.admits(NOW, rows, NOW + 50 * MS)]
    assert admitted == list(range(1, len(admitted) + 1))
    assert in_ms(forecast, len(admitted)) <= 50 < in_ms(forecast, len(admitted) + 10)


def patience_ms(*stations: Station, rows: int) -> int:
    """How much time the last one of so many rows must have to be admitted."""
    forecast = Forecast(stations, NOW)
    return next(ms for ms in range(1, 1000) if forecast.admits(NOW, rows, NOW + ms * MS))


def test_the_next_batch_is_taken_to_be_as_large_as_the_last_one_since_others_come_behind() -> None:
    assert in_ms(Forecast([station(free_ms=8, last=6)], NOW), 3) == 8 + 5 + 6
    assert in_ms(Forecast([station(free_ms=8, last=6)], NOW), 9) == 8 + 5 + 9
    assert in_ms(Forecast([station(free_ms=8, last=60)], NOW), 3) == 8 + 5 + 10  # no batch is larger than it may be


def test_an_idle_replica_begins_at_once_whatever_its_last_batch_was() -> None:
    assert in_ms(Forecast([station(last=6)], NOW), 3) == 5 + 3


def test_what_is_kept_in_hand_comes_on_top_of_the_forecast_however_many_wait() -> None:
    for rows in (3, 10, 25):
        without = patience_ms(station(free_ms=8), rows=rows)  # answered after about ADMITTED times that
        least = admission.ADMITTED * (without - 1) + 7
        assert least < patience_ms(station(free_ms=8, margin_ms=7), rows=rows) < least + 2


def test_a_margin_below_what_is_kept_in_hand_anyway_changes_nothing() -> None:
    assert patience_ms(station(free_ms=80, margin_ms=2), rows=3) == patience_ms(station(free_ms=80), rows=3)


def test_of_several_replicas_the_one_that_needs_most_in_hand_counts() -> None:
    steady, unsteady = station(free_ms=8), station(free_ms=9, margin_ms=7)
    assert patience_ms(steady, unsteady, rows=5) >= patience_ms(steady, steady, rows=5) + 6


def test_no_more_than_a_share_of_the_objective_is_kept_in_hand() -> None:
    assert admission.margin_within(80 * MS, 3 * MS) == 3 * MS
    assert admission.margin_within(80 * MS, 300 * MS) == 12 * MS


@given(
    st.lists(
        st.builds(
            station,
            st.one_of(st.just(0.0), st.floats(-50, 50)),
            st.integers(1, 1000),
            st.floats(0, 100),
            st.floats(1e-6, 10),
        ),
        min_size=1,
        max_size=5,
    ),
    st.integers(1, 5000),
)
def test_nobody_is_answered_before_now_nor_earlier_than_those_before(stations: list[Station], rows: int) -> None:
    forecast = Forecast(stations, NOW)
    assert forecast.finish_ns(NOW, rows) >= NOW
    many = sum(each.batch_rows for each in stations) + rows
    assert forecast.finish_ns(NOW, many) <= forecast.finish_ns(NOW, many + 1)


def test_a_full_batch_goes_ahead_only_shortly_before_the_one_before_it_is_done() -> None:
    assert admission.may_go_ahead(100 * MS, remaining_ns=9 * MS, batch_ns=45 * MS)
    assert not admission.may_go_ahead(100 * MS, remaining_ns=11 * MS, batch_ns=5 * MS)
    assert not admission.may_go_ahead(100 * MS, remaining_ns=9 * MS, batch_ns=46 * MS)


def test_a_batch_is_full_if_its_most_urgent_query_has_time() -> None:
    assert admission.rows_in_time(line(5, 1), 10, 17 * MS) == 10


def test_a_batch_becomes_a_little_smaller_for_an_urgent_query_but_not_much() -> None:
    assert admission.rows_in_time(line(5, 0.1), 100, int(14.55 * MS / admission.SURE)) == 95
    assert admission.rows_in_time(line(5, 0.1), 100, 12 * MS) == 0


def test_a_replica_of_which_nothing_is_known_gets_what_is_wanted() -> None:
    assert admission.rows_in_time(Plan(9, 0, 0, is_known=False), 7, 1) == 7


def test_second_tries_never_exceed_their_share_and_what_was_saved() -> None:
    budget = HedgeBudget(5, burst_rows=10)
    assert not budget.spend(1)
    sent = again = 0
    for _ in range(1000):
        budget.earn(7)
        sent += 7
        if budget.spend(3):
            again += 3
        assert again <= 0.05 * sent
    assert again >= 0.95 * 0.05 * sent
    assert budget.hedged_rows == again


def test_no_more_than_a_burst_is_saved() -> None:
    budget = HedgeBudget(100, burst_rows=10)
    budget.earn(1_000_000)
    assert not budget.spend(11)
    assert budget.spend(10)
    assert not budget.spend(1)


def test_a_batch_is_looked_at_when_it_should_have_been_answered_if_a_second_try_can_be_in_time() -> None:
    assert look_ns(0, 10 * MS, 50 * MS) == 15 * MS
    assert look_ns(0, 20 * MS, 50 * MS) is None
