"""Owners take turns; the order told is the order served."""

from heartlib.serving.fair import FairQueue


def test_owners_take_turns():
    queue = FairQueue()
    for number in range(3):
        queue.add("many", f"m{number}")
    queue.add("one", "o0")
    assert queue.order() == ["m0", "o0", "m1", "m2"]
    assert queue.next() == "m0"
    queue.add("new", "n0")
    assert queue.order() == ["o0", "n0", "m1", "m2"]
    assert [queue.next() for _ in range(4)] == ["o0", "n0", "m1", "m2"]
    assert queue.next() is None and len(queue) == 0


def test_order_is_what_is_served():
    queue = FairQueue()
    for number in range(40):
        queue.add(f"owner{number * number % 7}", str(number))
    for _ in range(5):
        queue.next()
    queue.add("late", "late")
    order = queue.order()
    assert order == [queue.next() for _ in range(len(order))]


def test_begun_again_comes_first_of_its_owner_and_remove():
    queue = FairQueue()
    for id in "ab":
        queue.add("x", id)
    assert queue.next() == "a"
    queue.add("x", "a", first=True)
    assert queue.order() == ["a", "b"] and queue.count("x") == 2
    assert queue.remove("a") and not queue.remove("a") and "b" in queue
    assert queue.next() == "b" and queue.count("x") == 0
