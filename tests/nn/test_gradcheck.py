"""The checker must find what is wrong and pass what is right, by itself, without the engine."""

import re

import numpy as np
import pytest
from numeric import assert_gradients

from rnncli.errors import ConfigError
from rnncli.nn.gradcheck import check


def softplus_net(seed=0, inner=7):
    """A smooth function of three arrays with its gradients worked out by hand."""
    rng = np.random.default_rng(seed)
    arrays = {
        "A": rng.standard_normal((inner, 40)) / 6,
        "b": rng.standard_normal(inner),
        "v": rng.standard_normal((1, inner)),
    }
    x = rng.standard_normal(40)

    def f():
        return float((arrays["v"] @ np.log1p(np.exp(arrays["A"] @ x + arrays["b"]))).sum())

    s = arrays["A"] @ x + arrays["b"]
    slope = arrays["v"][0] / (1 + np.exp(-s))
    gradients = {"A": np.outer(slope, x), "b": slope, "v": np.log1p(np.exp(s))[None]}
    return f, arrays, gradients


def test_right_gradients_agree_to_1e_10():
    worst = check(*softplus_net())
    assert worst.keys() == {"A", "b", "v"}
    assert max(at.error for at in worst.values()) < 1e-10


def test_a_planted_error_of_a_thousandth_in_one_entry_is_found_wherever_it_is():
    f, arrays, right = softplus_net()
    for name, gradient in right.items():
        for i in range(gradient.size):
            wrong = {**right, name: gradient.copy()}
            wrong[name].flat[i] *= 1.001
            worst = check(f, arrays, wrong, entries=5)
            assert worst.pop(name).error > 1e-8, f"{name}, element {i}"
            assert all(at.error < 1e-10 for at in worst.values())


def test_the_message_names_the_array_the_place_and_both_numbers():
    f, arrays, right = softplus_net()
    wrong = {**right, "b": right["b"].copy()}
    wrong["b"][3] *= 1.001
    with pytest.raises(AssertionError) as caught:
        assert_gradients(f, arrays, wrong, directions=0)
    first, second = str(caught.value).splitlines()
    assert first == "wrong gradient, 1 of 3:"
    found = re.fullmatch(r"b \[3\]: claimed (\S+), measured (\S+) \(.*0\.001\)", second)
    assert found
    assert float(found[1]) == pytest.approx(wrong["b"][3], rel=1e-8)
    assert float(found[2]) == pytest.approx(right["b"][3], rel=1e-8)


def test_a_zero_gradient_is_found():
    f, arrays, right = softplus_net()
    for name in right:
        wrong = {**right, name: np.zeros_like(right[name])}
        with pytest.raises(AssertionError, match=rf"{name} .*claimed 0, measured"):
            assert_gradients(f, arrays, wrong)


def test_a_gradient_that_is_not_finite_is_found():
    f, arrays, right = softplus_net()
    wrong = {**right, "b": right["b"].copy()}
    wrong["b"][0] = np.nan
    with pytest.raises(AssertionError, match="claimed nan"):
        assert_gradients(f, arrays, wrong)


@pytest.mark.parametrize("edge", [0, 1, 1.002], ids=["everywhere", "on one side", "near"])
def test_a_function_that_is_not_finite_is_found(edge):
    x = np.ones(2)
    with pytest.raises(AssertionError, match=r"x .*measured (nan|0)"):
        assert_gradients(lambda: np.inf if x[0] > edge else 0.0, {"x": x}, {"x": np.ones(2)})


def test_a_sign_error_in_a_derivative_near_the_noise_is_found():
    x = np.array([0.3])
    with pytest.raises(AssertionError):
        assert_gradients(lambda: 5 + 1e-7 * x[0], {"x": x}, {"x": np.array([-1e-7])})
    assert_gradients(lambda: 5 + 1e-7 * x[0], {"x": x}, {"x": np.array([1e-7])})


def test_a_function_that_ignores_an_array_has_gradient_zero():
    x = np.array([0.3, 0.4])
    assert check(lambda: 2.0, {"x": x}, {"x": np.zeros(2)})["x"].error == 0
    assert check(lambda: 0.0, {"x": x}, {"x": np.zeros(2)})["x"].error == 0
    with pytest.raises(AssertionError):
        assert_gradients(lambda: 0.0, {"x": x}, {"x": np.array([0.0, 1e-3])})


@pytest.mark.parametrize("distance", [1e-2, 1.5e-3, 7e-4, 1.5e-4])
def test_a_corner_close_by_does_not_disturb(distance):
    x = np.array([distance, -distance, 1.0])

    def f():
        return float(np.maximum(x, 0).sum() * 3 + np.sin(x[2]))

    right = np.array([3.0, 0.0, 3.0 + np.cos(1.0)])
    assert check(f, {"x": x}, {"x": right}, directions=0)["x"].error < 1e-6


def test_arrays_are_put_back_bit_for_bit_even_when_f_fails():
    f, arrays, right = softplus_net()
    before = {name: array.copy() for name, array in arrays.items()}
    check(f, arrays, right)
    calls = []

    def failing():
        calls.append(1)
        if len(calls) > 5:
            raise ZeroDivisionError
        return f() if len(calls) > 2 else 1.0

    with pytest.raises(ZeroDivisionError):
        check(failing, arrays, right)
    assert all(np.array_equal(arrays[name], before[name]) for name in arrays)


def test_views_that_are_not_contiguous_are_checked_in_place():
    base = np.random.default_rng(1).standard_normal((4, 6))
    view = base.T[::2]
    worst = check(lambda: float((base**3).sum()), {"view": view}, {"view": 3 * view**2})
    assert worst["view"].error < 1e-8


def test_the_same_seed_gives_the_same_answer():
    net = softplus_net()
    assert check(*net, every=0, entries=3, seed=5) == check(*net, every=0, entries=3, seed=5)
    assert check(*net, every=0, entries=3, seed=5) != check(*net, every=0, entries=3, seed=6)


def test_mistakes_of_the_caller_are_named():
    x = np.ones(3)
    with pytest.raises(ConfigError, match=r"same names: y"):
        check(lambda: 1.0, {"x": x}, {"x": x, "y": x})
    with pytest.raises(ConfigError, match=r"x is float32"):
        check(lambda: 1.0, {"x": x.astype("f4")}, {"x": x})
    with pytest.raises(ConfigError, match=r"x is \(3,\), its gradient \(1,\)"):
        check(lambda: 1.0, {"x": x}, {"x": x[:1]})
    with pytest.raises(ConfigError, match=r"x is empty"):
        check(lambda: 1.0, {"x": x[:0]}, {"x": x[:0]})
    rng = np.random.default_rng(0)
    with pytest.raises(ConfigError, match=r"two calls of f differ"):
        check(rng.random, {"x": x}, {"x": x})
