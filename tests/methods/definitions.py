"""Gradient-based methods by their definitions, in arithmetic of 80 digits, in which no rounding matters.

Each function takes a Jacobian [T, P] of float64 or float32 numbers, which it takes as exact, and returns the method's
gradient [P], rounded to float64 at the very end. Solutions of optimisation problems are checked against the conditions
that characterise them (Karush, Kuhn, Tucker) before they are returned. None means that there is no solution, or more
than one.

Nothing here is shared with the package. Speed does not matter, so the algorithms are the plainest ones.
"""

import itertools

import numpy as np
from mpmath import mp, mpf

mp.dps = 80
#: Conditions hold up to this factor.
EXACT = mpf(10) ** -40


def products(jacobian):
    rows = [[mpf(float(value)) for value in row] for row in jacobian]
    return mp.matrix([[mp.fdot(a, b) for b in rows] for a in rows])


def combined(weights, jacobian):
    columns = zip(*([mpf(float(value)) for value in row] for row in jacobian), strict=True)
    return np.array([float(mp.fdot(weights, column)) for column in columns])


def all_subsets(items):
    return [list(chosen) for size in range(1, len(items) + 1) for chosen in itertools.combinations(items, size)]


def solve(matrix, target, active):
    """Solution of the rows and columns of a symmetric system that are active; 0 elsewhere. None: singular."""
    result = mp.matrix(len(target), 1)
    if active:
        block = mp.matrix([[matrix[i, j] for j in active] for i in active])
        try:
            solution = mp.lu_solve(block, mp.matrix([target[i] for i in active]))
        except ZeroDivisionError:
            return None
        for i, value in zip(active, solution, strict=True):
            result[i] = value
    return result


def non_negative(matrix, target):
    """The x >= 0 that minimises x' matrix x / 2 - target' x (Lawson and Hanson)."""
    size = len(target)
    x, active = mp.matrix(size, 1), []
    scale = max(abs(value) for value in target)
    while True:
        slope = target - matrix * x
        entering = max((i for i in range(size) if i not in active), key=lambda i: slope[i], default=None)
        if entering is None or slope[entering] <= EXACT * scale:
            return x
        active.append(entering)
        while True:
            wanted = solve(matrix, target, active)
            negative = [i for i in active if wanted[i] <= 0]
            if not negative:
                x = wanted
                break
            step = min(x[i] / (x[i] - wanted[i]) for i in negative)
            x += step * (wanted - x)
            active = [i for i in active if x[i] > EXACT * max(abs(value) for value in wanted)]
            x = mp.matrix([x[i] if i in active else 0 for i in range(size)])


def mgda(jacobian):
    """The shortest convex combination."""
    gram = products(jacobian)
    size, scale = len(jacobian), max(gram[i, i] for i in range(len(jacobian)))
    if min(gram[i, i] for i in range(size)) == 0:
        return np.zeros(jacobian.shape[1])
    weights = non_negative(gram + scale * mp.ones(size), scale * mp.ones(size, 1))
    weights /= mp.fsum(weights)
    slopes = gram * weights
    value = mp.fdot(weights, slopes)
    assert min(slopes) >= value - EXACT * scale
    return combined(weights, jacobian)


def upgrad(jacobian):
    """The mean of the gradients, each projected onto {v: <g_t, v> >= 0 for all t}."""
    gram = products(jacobian)
    size = len(jacobian)
    total = mp.matrix(size, 1)
    for task in range(size):
        added = non_negative(gram, -gram[:, task])
        point = added.copy()
        point[task] += 1
        slopes = gram * point
        assert min(slopes) >= -EXACT * max(gram)
        assert abs(mp.fdot(added, slopes)) <= EXACT * max(gram)
        total += point / size
    return combined(total, jacobian)


def imtl_g(jacobian):
    """Weights of sum 1 and equal projections: a linear system in the weights and the projection."""
    gram = products(jacobian)
    rows = [i for i in range(len(jacobian)) if gram[i, i] > 0]
    size = len(rows)
    system = mp.zeros(size + 1)
    for i, first in enumerate(rows):
        for j, second in enumerate(rows):
            system[i, j] = gram[first, second] / mp.sqrt(gram[first, first])
        system[i, size] = -1
        system[size, i] = 1
    try:
        solution = mp.lu_solve(system, mp.matrix([0] * size + [1]))
    except ZeroDivisionError:
        return None
    return combined([solution[rows.index(i)] if i in rows else 0 for i in range(len(jacobian))], jacobian)


def nash_mtl(jacobian, steps=300):
    """G alpha = 1 / alpha, by Newton's method with damped steps on alpha' G alpha / 2 - sum log alpha."""
    gram = products(jacobian)
    rows = [i for i in range(len(jacobian)) if gram[i, i] > 0]
    cosines = mp.matrix([[gram[i, j] / mp.sqrt(gram[i, i] * gram[j, j]) for j in rows] for i in rows])
    alpha = mp.ones(len(rows), 1) / mp.sqrt(len(rows))
    for _ in range(steps):
        inverse = mp.matrix([1 / value for value in alpha])
        slope = cosines * alpha - inverse
        try:
            step = mp.lu_solve(cosines + mp.diag([value**2 for value in inverse]), -slope)
        except ZeroDivisionError:  # alpha grows without bound
            return None
        decrement = mp.sqrt(-mp.fdot(step, slope))
        alpha += step / (1 + decrement)
        if decrement < EXACT:
            assert max(abs(a * b - 1) for a, b in zip(alpha, cosines * alpha, strict=True)) <= mp.sqrt(EXACT)
            lengths = {i: mp.sqrt(gram[i, i]) for i in rows}
            return combined(
                [alpha[rows.index(i)] / lengths[i] if i in rows else 0 for i in range(len(jacobian))], jacobian
            )
    return None


def cagrad(jacobian, c=0.5):
    """The d that maximises min_t <g_t, d> where |d - g_0| <= c |g_0|, over the gradients that are not 0.

    With constraints <g_t, d> = m for active t, d - g_0 = sum_t x_t g_t has x = m a - b with G a = 1, G b = <g_t, g_0>.
    """
    gram = products(jacobian)
    size = len(jacobian)
    ones, mean = mp.ones(size, 1), mp.ones(size, 1) / size
    with_mean = gram * mean
    squared_radius = mpf(c) ** 2 * mp.fdot(mean, with_mean)
    if squared_radius == 0:
        return combined(mean, jacobian)
    nonzero = [i for i in range(size) if gram[i, i] > 0]

    def attempt(active):
        """Level and x if these constraints are active; None if they cannot be on the ball."""
        rise, fall = solve(gram, ones, active), solve(gram, with_mean, active)
        if rise is None:
            return None
        quadratic, linear = mp.fdot(rise, gram * rise), mp.fdot(rise, gram * fall)
        discriminant = linear**2 - quadratic * (mp.fdot(fall, gram * fall) - squared_radius)
        level = (linear + mp.sqrt(discriminant)) / quadratic if discriminant >= 0 else None
        return None if level is None else (level, level * rise - fall)

    def mistakes(active, level, x):
        """The constraint that should leave, and the one that should enter; None where there is none."""
        improvement = gram * (mean + x)
        leaving = min(active, key=lambda i: x[i] * mp.sqrt(gram[i, i]))
        entering = min(nonzero, key=lambda i: (improvement[i] - level) / mp.sqrt(gram[i, i]))
        is_violated = improvement[entering] < level - EXACT * gram[entering, entering] and entering not in active
        return leaving if x[leaving] < 0 else None, entering if is_violated else None

    def verified(x):
        assert abs(mp.fdot(x, gram * x) / squared_radius - 1) <= EXACT
        return combined(mean + x, jacobian)

    active = [min(nonzero, key=lambda i: with_mean[i])]
    for _ in range(20 * size):
        solution = attempt(active)
        if solution is None:
            break
        leaving, entering = mistakes(active, *solution)
        if leaving is not None:
            active.remove(leaving)
        elif entering is not None:
            active.append(entering)
        else:
            return verified(solution[1])
    # Exchanging one constraint at a time can lead nowhere; of few constraints all sets can be tried.
    for active in all_subsets(nonzero) if size <= 8 else ():
        solution = attempt(active)
        if solution is not None and mistakes(active, *solution) == (None, None):
            return verified(solution[1])
    return None


def aligned_mtl(jacobian):
    """The mean over tasks of sigma U V', with the singular value decomposition and its smallest value that is not 0."""
    gram = products(jacobian)
    size = len(jacobian)
    values, vectors = mp.eigsy(gram)
    kept = [i for i in range(size) if values[i] > EXACT * max(values)]
    smallest = min(values[i] for i in kept)
    weights = mp.matrix(size, 1)
    for i in kept:
        weights += vectors[:, i] * mp.fsum(vectors[:, i]) * mp.sqrt(smallest / values[i]) / size
    return combined(weights, jacobian)


def pcgrad(jacobian, orders):
    """The mean of the gradients, each projected off those it conflicts with, in an order of its own."""
    gram = products(jacobian)
    size = len(jacobian)
    total = mp.matrix(size, 1)
    for task, order in enumerate(orders):
        weights = mp.matrix(size, 1)
        weights[task] = 1
        for other in order:
            product = mp.fdot(gram[other, :], weights)
            if other != task and product < 0:
                weights[other] -= product / gram[other, other]
        total += weights / size
    return combined(total, jacobian)


def graddrop(jacobian, draws):
    """The mean over tasks of the gradients of one sign; the positive one if the purity is above the draw."""
    jacobian = jacobian.astype(float)
    total = np.abs(jacobian).sum(0)
    purity = (1 + np.divide(jacobian.sum(0), total, out=np.zeros_like(total), where=total > 0)) / 2
    positive, negative = np.maximum(jacobian, 0).sum(0), np.minimum(jacobian, 0).sum(0)
    return np.where(purity > draws, positive, negative) / len(jacobian)
