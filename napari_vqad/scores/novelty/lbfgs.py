"""L-BFGS for many small problems at once (Nocedal 1980), with bounds by projection (Bertsekas 1982).

    d = −H g on the free variables          z ← P(z + t d),  f(P(z + t d)) ≤ f(z) + c₁ g·(P(z + t d) − z)

H is the two-loop recursion over the last pairs s = Δz, y = Δg, P the projection into the box, and a variable is free
unless it is at a bound and the gradient pushes it outwards. Each problem has its own pairs, its own step length and its
own end, so that its result does not depend on the problems beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

Function = Callable[[Tensor, Tensor], Tensor]
MEMORY = 10  # pairs (s, y)
ARMIJO = 1e-4  # c₁
HALVINGS = 20  # of a step, before the search along a direction is given up
ROUNDING = 10  # float steps by which f must fall, of at least 1, for the search to go on
CURVATURE = 1e-10  # least s·y / (|s| |y|) of a pair that is kept


class Minimum(NamedTuple):
    """Where minimisations ended.

    Attributes:
        z: (B, d).
        value: f(z), (B,), never above that of the start.
        converged: bool (B,): the projected gradient, or the last decrease of f, is below the tolerance; else the steps
            ran out, or no step along the gradient lowered f any further.
    """

    z: Tensor
    value: Tensor
    converged: Tensor


def minimise(
    function: Function,
    start: Tensor,
    bound: float = torch.inf,
    steps: int = 100,
    tolerance: float = 1e-4,
    check: Callable[[], None] | None = None,
) -> Minimum:
    """Minimise B functions of d variables, each from its own start.

    Args:
        function: z (n, d) and the numbers (n,) of the problems → their values (n,). It must compute each value from its
            own row alone, differentiably.
        start: (B, d); clipped into the box.
        bound: the box is [−bound, bound]^d.
        steps: largest number of iterations.
        tolerance: largest absolute component of the projected gradient at the end.
        check: called before each iteration; it may raise an exception to stop the work.
    """
    z = start.detach().clamp(-bound, bound).clone()
    value, gradient = _evaluate(function, z, torch.arange(len(z), device=z.device))
    converged = torch.zeros(len(z), dtype=torch.bool, device=z.device)
    rows = torch.arange(len(z), device=z.device)
    pairs, least = _Pairs.empty(z), ROUNDING * torch.finfo(z.dtype).eps
    for _ in range(steps):
        if check is not None:
            check()
        at, g = z[rows], gradient[rows]
        free = ~(((at <= -bound) & (g > 0)) | ((at >= bound) & (g < 0)))
        small = (g * free).abs().amax(1) <= tolerance
        converged[rows[small]] = True
        rows, pairs = rows[~small], pairs.of(~small)
        if not len(rows):
            break
        at, g, free = at[~small], g[~small], free[~small]
        direction = pairs.direction(g * free) * free
        before = value[rows]
        fresh, fresh_value, fresh_gradient, found = _search(function, rows, at, before, g, direction, bound)
        z[rows], value[rows], gradient[rows] = fresh, fresh_value, fresh_gradient
        # Where no step was found, start again from the gradient; where that was the direction already, stop.
        stuck = ~found & (pairs.held == 0)
        settled = found & (before - fresh_value <= least * fresh_value.abs().clamp(min=1))
        converged[rows[settled]] = True
        ended = stuck | settled
        pairs = pairs.with_pair(fresh - at, fresh_gradient - g, found).of(~ended)
        rows = rows[~ended]
    return Minimum(z, value, converged)


class _Pairs(NamedTuple):
    """Last pairs of each problem, the latest last, (B, MEMORY, d), 1 / s·y (B, MEMORY), and their number (B,).

    A place without a pair has zeros, which change nothing in the recursion.
    """

    s: Tensor
    y: Tensor
    rho: Tensor
    held: Tensor

    @classmethod
    def empty(cls, z: Tensor) -> _Pairs:
        b, d = z.shape
        none = z.new_zeros(b, MEMORY, d)
        return cls(none, none.clone(), z.new_zeros(b, MEMORY), torch.zeros(b, dtype=torch.long, device=z.device))

    def of(self, kept: Tensor) -> _Pairs:
        return self if bool(kept.all()) else _Pairs(*(part[kept] for part in self))

    def direction(self, g: Tensor) -> Tensor:
        """−H g (B, d); −g, at most of length 1, for problems without pairs."""
        q, alphas = g.clone(), torch.zeros_like(self.rho)
        for i in reversed(range(MEMORY)):
            alphas[:, i] = self.rho[:, i] * (self.s[:, i] * q).sum(1)
            q -= alphas[:, i : i + 1] * self.y[:, i]
        sy, yy = (self.s[:, -1] * self.y[:, -1]).sum(1), (self.y[:, -1] ** 2).sum(1)
        q *= torch.where(self.held > 0, sy / yy.clamp(min=1e-30), 1 / g.norm(dim=1).clamp(min=1))[:, None]
        for i in range(MEMORY):
            beta = self.rho[:, i] * (self.y[:, i] * q).sum(1)
            q += (alphas[:, i] - beta)[:, None] * self.s[:, i]
        downhill = (q * g).sum(1) > 0  # masked variables may have turned it
        return -torch.where(downhill[:, None], q, g)

    def with_pair(self, s: Tensor, y: Tensor, found: Tensor) -> _Pairs:
        """Add a pair to each problem; where none was found, forget all; where it shows no curvature, change nothing."""
        sy = (s * y).sum(1)
        good = found & (sy > CURVATURE * s.norm(dim=1) * y.norm(dim=1))
        new = torch.cat([self.s[:, 1:], s[:, None]], 1), torch.cat([self.y[:, 1:], y[:, None]], 1)
        rho = torch.cat([self.rho[:, 1:], 1 / sy.clamp(min=1e-30)[:, None]], 1)
        after = (
            torch.where(good[:, None, None], new[0], self.s) * found[:, None, None],
            torch.where(good[:, None, None], new[1], self.y) * found[:, None, None],
            torch.where(good[:, None], rho, self.rho) * found[:, None],
        )
        return _Pairs(*after, (self.held + good) * found)


def _search(
    function: Function, rows: Tensor, z: Tensor, value: Tensor, g: Tensor, direction: Tensor, bound: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Halve the step of each problem until f falls by Armijo's rule: z, f, its gradient, and whether it did."""
    z_best, value_best, g_best = z.clone(), value.clone(), g.clone()
    found = torch.zeros(len(z), dtype=torch.bool, device=z.device)
    pending, t = torch.arange(len(z), device=z.device), 1.0
    for _ in range(HALVINGS):
        trial = (z[pending] + t * direction[pending]).clamp(-bound, bound)
        trial_value, trial_gradient = _evaluate(function, trial, rows[pending])
        falls = ARMIJO * (g[pending] * (trial - z[pending])).sum(1)
        good = (trial_value <= value[pending] + falls) & (trial_value < value[pending])
        taken = pending[good]
        z_best[taken], value_best[taken], g_best[taken] = trial[good], trial_value[good], trial_gradient[good]
        found[taken] = True
        pending, t = pending[~good], t / 2
        if not len(pending):
            break
    return z_best, value_best, g_best, found


def _evaluate(function: Function, z: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    with torch.inference_mode(False), torch.enable_grad():  # whatever the caller's mode
        z = z.detach().clone().requires_grad_()
        value = function(z, rows)
        (gradient,) = torch.autograd.grad(value.sum(), z)
    return value.detach(), gradient.clone()  # it may be an expanded tensor
