"""The prediction cache: what it keeps, for how long, and how much it takes."""

from __future__ import annotations

import gc
import hashlib
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipper_frontend.cache import MAX_PLAIN_BYTES, Keys, PredictionCache

S = 1_000_000_000
SECRET = b"0123456789abcdef"


def a_cache(max_bytes: int = 1 << 20, ttl_ns: int = 0) -> PredictionCache:
    return PredictionCache(max_bytes=max_bytes, ttl_ns=ttl_ns, secret=SECRET)


def test_what_was_put_is_got() -> None:
    cache = a_cache()
    key = cache.keys_of_version().key(b"input")
    assert cache.get(key, 0) is None
    cache.put(key, b"output", 0)
    assert cache.get(key, 10 * S) == b"output"
    assert (cache.hits, cache.misses) == (1, 1)


@pytest.mark.parametrize("length", [0, 1, MAX_PLAIN_BYTES, MAX_PLAIN_BYTES + 1, 100_000])
def test_versions_never_share_a_key(length: int) -> None:
    cache = a_cache()
    one, other = cache.keys_of_version(), cache.keys_of_version()
    value = bytes(length)
    assert one.key(value) == one.key(bytes(length))
    assert one.key(value) != other.key(value)


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_different_inputs_have_different_keys(one: bytes, other: bytes) -> None:
    keys = Keys(7, SECRET)
    assert (keys.key(one) == keys.key(other)) == (one == other)


def test_a_short_input_cannot_be_made_to_look_like_a_long_one() -> None:
    keys = Keys(1, SECRET)
    long = bytes(1000)
    prefix = keys.key(b"")[:-1] + b"#"
    digest = hashlib.sha256(SECRET + prefix + long).digest()[:16]
    assert keys.key(long) == prefix + digest, "the attacker below knows the key"
    assert keys.key(digest) != keys.key(long)


def test_keys_of_long_inputs_depend_on_the_secret() -> None:
    assert Keys(1, b"a" * 16).key(bytes(1000)) != Keys(1, b"b" * 16).key(bytes(1000))


def test_an_output_is_good_until_its_time_is_over() -> None:
    cache = a_cache(ttl_ns=5 * S)
    key = cache.keys_of_version().key(b"input")
    cache.put(key, b"old", 0)
    assert cache.get(key, 5 * S - 1) == b"old"
    assert cache.get(key, 5 * S) is None
    cache.put(key, b"new", 6 * S)
    assert cache.get(key, 11 * S - 1) == b"new"
    assert len(cache) == 1


def test_a_cache_of_no_bytes_keeps_nothing() -> None:
    cache = a_cache(max_bytes=0)
    key = cache.keys_of_version().key(b"input")
    cache.put(key, b"output", 0)
    assert cache.get(key, 0) is None
    assert len(cache) == cache.size_bytes == 0


def test_one_large_output_does_not_drive_out_all_others() -> None:
    cache = a_cache(max_bytes=80_000)
    keys = cache.keys_of_version()
    for at in range(50):
        cache.put(keys.key(b"%d" % at), b"small", 0)
    cache.put(keys.key(b"large"), bytes(20_000), 0)
    assert cache.get(keys.key(b"large"), 0) is None
    assert len(cache) == 50


def test_what_is_asked_for_often_survives_a_scan() -> None:
    cache = a_cache(max_bytes=200_000)
    keys = cache.keys_of_version()
    popular = [keys.key(b"popular %d" % at) for at in range(20)]
    for key in popular:
        cache.put(key, b"output", 0)
    for _ in range(3):
        assert all(cache.get(key, 0) for key in popular)
    for at in range(10_000):
        cache.put(keys.key(b"scan %d" % at), b"output", 0)
    assert all(cache.get(key, 0) for key in popular)
    assert cache.evictions > 9_000


def test_what_comes_back_soon_after_it_left_stays() -> None:
    cache = a_cache(max_bytes=100_000)
    keys = cache.keys_of_version()

    def scan(name: bytes, size: int) -> None:
        for at in range(size):
            cache.put(keys.key(b"%s %d" % (name, at)), b"output", 0)

    scan(b"first", 1000)
    back = next(key for at in range(1000) if cache.get(key := keys.key(b"first %d" % at), 0) is not None)
    scan(b"second", 1)
    while cache.get(back, 0) is not None:
        scan(b"more %d" % cache.evictions, 1)
    cache.put(back, b"output", 0)
    scan(b"third", 150)
    assert cache.get(back, 0) == b"output"


def test_what_is_computed_anew_replaces_what_was_there() -> None:
    cache = a_cache(max_bytes=100_000)
    keys = cache.keys_of_version()
    key = keys.key(b"popular")
    for output in (b"first", b"a longer one", b"3"):
        cache.put(key, output, 0)
        assert cache.get(key, 0) == output
    for at in range(1000):
        cache.put(keys.key(b"%d" % at), b"x", 0)
        cache.get(key, 0)
    size = cache.size_bytes
    cache.put(key, b"4" * 101, 0)
    assert cache.get(key, 0) == b"4" * 101
    assert cache.size_bytes <= size + 100


def test_clearing_leaves_nothing() -> None:
    cache = a_cache(max_bytes=50_000, ttl_ns=S)
    keys = cache.keys_of_version()
    for at in range(1000):
        cache.put(keys.key(b"%d" % at), b"output", 0)
    cache.clear()
    assert len(cache) == cache.size_bytes == 0
    assert cache.get(keys.key(b"999"), 0) is None


@pytest.mark.parametrize("ttl_ns", [0, 1000 * S])
@pytest.mark.parametrize(("input_bytes", "output_bytes"), [(16, 8), (100, 8), (1000, 8), (100, 2000), (4000, 40_000)])
def test_it_takes_no_more_memory_than_it_counts(ttl_ns: int, input_bytes: int, output_bytes: int) -> None:
    max_bytes = 4 << 20
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        cache = a_cache(max_bytes, ttl_ns)
        keys = cache.keys_of_version()
        for at in range(40_000_000 // (output_bytes + 1000)):
            key = keys.key(at.to_bytes(8) + bytes(input_bytes - 8))
            cache.put(key, bytes(output_bytes), at)
            if at % 5 == 0:
                cache.get(key, at)
                cache.get(key, at)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert cache.evictions
    assert 0.9 * max_bytes < cache.size_bytes <= max_bytes
    assert peak - before <= max_bytes * 1.03, "beyond what a table takes while it grows"


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 30), st.integers(0, 900), st.integers(0, 3)), max_size=400),
    st.sampled_from([0, 10]),
    st.sampled_from([2_000, 8_000, 30_000]),
)
def test_it_never_answers_anything_but_the_last_output(
    steps: list[tuple[bool, int, int, int]], ttl_ns: int, max_bytes: int
) -> None:
    cache = a_cache(max_bytes, ttl_ns)
    keys = cache.keys_of_version()
    last: dict[int, tuple[bytes, int]] = {}
    now_ns = 0
    for is_put, name, size, wait_ns in steps:
        now_ns += wait_ns
        key = keys.key(b"%d" % name)
        if is_put:
            output = bytes([size % 251]) * size
            cache.put(key, output, now_ns)
            if cache.get(key, now_ns) == output:
                last[name] = (output, now_ns)
        else:
            found = cache.get(key, now_ns)
            if found is not None:
                output, put_ns = last[name]
                assert found == output
                assert not ttl_ns or now_ns < put_ns + ttl_ns
        assert 0 <= cache.size_bytes <= max_bytes
        assert bool(len(cache)) == bool(cache.size_bytes)
