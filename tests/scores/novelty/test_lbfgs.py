import numpy as np
import pytest
import torch
from scipy.optimize import minimize, rosen, rosen_der

from napari_vqad.scores.novelty.lbfgs import minimise


def rosenbrock(z, rows):
    return (100 * (z[:, 1:] - z[:, :-1] ** 2) ** 2 + (1 - z[:, :-1]) ** 2).sum(1)


STARTS = torch.randn(30, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_rosenbrocks_valley_is_descended():
    found = minimise(rosenbrock, STARTS, steps=300, tolerance=1e-6)
    assert found.converged.all()
    # Its local minimum, with a value near 3.7, is a fair end, too.
    assert ((found.value < 1e-9) | ((found.value - 3.70) ** 2 < 0.01)).all()
    assert (found.value < 1e-9).float().mean() > 0.5


@pytest.mark.parametrize("bound", [0.3, 0.8])
def test_bounded_minima_are_those_of_scipy(bound):
    found = minimise(rosenbrock, STARTS, bound, steps=500, tolerance=1e-6)
    assert (found.z.abs() <= bound).all()
    assert found.converged.all()
    ours = found.value.numpy()
    theirs = [
        minimize(rosen, s.clip(-bound, bound), jac=rosen_der, method="L-BFGS-B", bounds=[(-bound, bound)] * 4).fun
        for s in STARTS.numpy()
    ]
    assert (np.abs(ours - theirs) < 1e-4).mean() > 0.8  # both may end in other local minima
    np.testing.assert_allclose(ours.min(), min(theirs), atol=1e-5)


def test_a_result_does_not_depend_on_the_problems_beside_it():
    scales = torch.logspace(-2, 2, len(STARTS), dtype=torch.float64)  # some end early, some late

    def function(z, rows):
        return scales[rows] * rosenbrock(z, rows)

    together = minimise(function, STARTS, 2.0, steps=60)
    for i in (0, 7, 29):
        alone = minimise(lambda z, rows, i=i: scales[i] * rosenbrock(z, rows), STARTS[i : i + 1], 2.0, steps=60)
        torch.testing.assert_close(alone.z[0], together.z[i], rtol=1e-9, atol=1e-9)
        assert alone.converged[0] == together.converged[i]


def test_few_evaluations_of_a_quadratic_suffice():
    calls = []

    def quadratic(z, rows):
        calls.append(len(z))
        return (torch.tensor([1.0, 10.0, 100.0]) * (z - 3) ** 2).sum(1)

    found = minimise(quadratic, torch.zeros(5, 3), tolerance=1e-3)
    torch.testing.assert_close(found.z, torch.full((5, 3), 3.0), atol=1e-3, rtol=0)
    assert len(calls) < 30


def test_the_value_never_rises_and_problems_without_a_gradient_end():
    def flat_or_broken(z, rows):
        return torch.tensor([0.0, torch.nan, 1.0])[rows] * (z**2).sum(1)

    found = minimise(flat_or_broken, torch.ones(3, 2))
    assert found.value[0] == 0
    assert found.converged.tolist() == [True, False, True]
    assert found.value[1].isnan()
    assert (found.z[1] == 1).all()
    one_step = minimise(rosenbrock, STARTS, steps=1)
    assert (one_step.value <= rosenbrock(STARTS, None)).all()


def test_the_start_is_clipped_into_the_box():
    assert minimise(lambda z, rows: -z.sum(1), torch.tensor([[50.0, -50.0]]), 10.0).z.tolist() == [[10.0, 10.0]]
