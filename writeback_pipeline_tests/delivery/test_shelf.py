from writeback_pipeline.delivery.shelf import Shelf


def test_what_is_put_away_comes_back_equal_and_in_order_as_often_as_it_is_asked_for() -> None:
    shelf = Shelf[str]()
    portions = [["a", "b"], [], ["c"]]
    for portion in portions:
        shelf.put(portion)
    assert list(shelf) == portions
    assert list(shelf) == portions
