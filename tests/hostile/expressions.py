"""Expressions that cannot be read, built, evaluated or solved, and odd ones that can."""

from __future__ import annotations

import re
from dataclasses import replace

from hostile.given import OWN, Input, case, short, toml

UNREADABLE = {
    "": "ends too early",
    " \t\r\n": "ends too early",
    "1 +": "ends too early",
    "(": "ends too early",
    ")": "unexpected ')'",
    "()": "unexpected ')'",
    "(1": "never closed",
    "1)": "unexpected ')'",
    "sin(": "ends too early",
    "sin(x": "never closed",
    "sin()": "sin(",
    "sin(x, x)": "sin(",
    "sin(,)": "unexpected ','",
    "sin x": "unexpected 'x'",
    "atan2(x)": "atan2(",
    "where(x, 1, 2)": "where(",
    "where(x < 1, 2)": "where(",
    "1 if x < 1 else 2": "unexpected 'if'",
    "x < 1": "where",
    "not x": "comparison",
    "(x < 1) + 1": "comparison",
    "x = 1": "==",
    "x := 1": "':'",
    "x ^ 2": "**",
    "x % 2": "remainder",
    "x // 2": "unexpected '/'",
    "2x": "2*x",
    "1e": "1*e",
    "1e400": "1e400",
    "0x10": "0*x10",
    "1_000": "1",
    "1j*x": "complex numbers",
    "1..2": "unexpected",
    ".": "attributes",
    "x.real": "attributes",
    "x[0]": "indexing",
    "'x'": "unexpected",
    '"x"': "unexpected",
    "# x": "comments",
    "x; y": "';'",
    "x y": "unexpected 'y'",
    "x\\\\ny": "unexpected",
    "x\0": "unexpected",
    "x\x1b[31m": "unexpected",
    "π*x": "ASCII",
    "x²": "ASCII",
    "\uff53\uff49\uff4e(x)": "ASCII",
    "\u2212x": "ASCII",
    "\u202ex": "ASCII",
    "💥": "ASCII",
    "lambda x: x": "unexpected",
    "__import__('os').system('touch hacked')": "unexpected",
    "exec": "unknown name 'exec'",
    "open(x)": "unknown function 'open'",
    "eval(x)": "unknown function 'eval'",
    "sine(x)": "'sin'",
    "Sin(x)": "'sin'",
    "ln(x)": "'log'",
    "a": "unknown name 'a'",
    "t0": "unknown name 't0'",
    "z": "z",
    "X": "unknown name 'X'",
    "nan": "'nan' is not supported",
    "inf": "'inf' is not supported",
    "sin": "sin",
    "pi(x)": "pi",
    "x(1)": "x",
    "sin(seed=1)": "seed",
    "noise(x)": "seed",
    "noise(seed=x)": "seed",
    "noise(seed=0.5)": "seed",
    "noise(seed=-1)": "seed",
    "noise(seed=10**30)": "seed",
    "noise(seed=1, seed=2)": "noise",
    "noise(1, 2)": "noise",
    "noise(see=1)": "seed",
    "x**": "ends too early",
    "**x": "unexpected '**'",
    "x***2": "unexpected '*'",
    "x**65": "64",
    "x**-65": "64",
    "x**1e300": "",
    "10**400": "",
    "2**2**2**2**2": "",
    "1/0": "division by zero",
    "0**-1": "",
    "x/(1 - 1)": "division by zero",
    "log(0)": "log(0)",
    "log(-1)": "log(-1)",
    "sqrt(-1)": "sqrt(-1)",
    "asin(2)": "asin(2)",
    "exp(1000)": "exp(1000)",
    "tan(1e308*10)": "",
    "1e308*10": "",
    "min()": "min(",
    "max(x < 1, 2)": "comparison",
    "box(x)": "box(",
    "box(x, 1, 2, 3)": "box(",
    "(" * 65 + "x" + ")" * 65: "64 deep",
    "(" * 2000 + "x" + ")" * 2000: "64 deep",
    "-" * 65 + "x": "64 deep",
    "not " * 65 + "x": "64 deep",
    "sin(" * 65 + "x" + ")" * 65: "64 deep",
    "x**" * 65 + "x": "64 deep",
    "x + " * 4000 + "x": "4096",
    "x+" * 1000 + "x": "1000",
    "1" * 5000: "4096",
    "9" * 4000: "",
    "0." + "1" * 4000 + "e5000": "",
    "laplace(x)": "laplace",
    "dx(u)": "dx",
    "mean(x)": "mean",
    "u": "unknown name 'u'",
}
# In rates alone: operators, vectors, stages.
WRONG_RATES = {
    "laplace": "laplace",
    "laplace()": "laplace(u)",
    "laplace(u, u)": "laplace(u)",
    "laplace(u=u)": "laplace(u)",
    "grad(u)": "vector",
    "grad(u) + 1": "vector",
    "vector(1, 2)": "vector",
    "vector()": "vector",
    "dot(u, u)": "dot",
    "dot(grad(u))": "dot(a, b)",
    "div(u)": "div",
    "div(1)": "div",
    "upwind(u, u)": "upwind",
    "upwind(vector(1), u)": "vector",
    "advect(grad(u))": "advect",
    "harmonic(u)": "harmonic",
    "div(harmonic(u))": "harmonic",
    "integral()": "integral",
    "integral(grad(u))": "vector",
    "mean(u < 1)": "comparison",
    "where(laplace(u), 1, 2)": "where",
    "laplace(u < 1)": "comparison",
    "D*laplace(v)": "unknown name 'v'",
    "u_t": "u_t",
    "u_tt": "u_tt",
    "next(u)": "next",
    "laplace(u) = 0": "=",
    "curl(u)": "curl",
    "dxxx(u)": "dxxx",
    "diff(u, x)": "diff",
    "Derivative(u, x)": "Derivative",
    "noise(u)": "seed",
    "laplace(" * 65 + "u" + ")" * 65: "64 deep",
    "u**65": "64",
    "u/0": "division by zero",
    "laplace(1/0)": "division by zero",
    "dx(u)/(0*2)": "division by zero",
    "": "ends too early",
}
# Read well, and not a finite number somewhere: what is said names the key and the place.
NOT_FINITE = ("1/(x - 0.5625)", "log(x - 0.5)", "sqrt(x - 0.5)", "asin(4*x)", "exp(1e3*x)", "x**64*1e300**2*1e300",
              "0/(x - x)", "1e300*(1e10*x)", "(x - 0.5)**0.5", "x**-64*(1e-300/x)**-9", "1/(1 - heaviside(x - 0.5))",
              "tan(x)/sin(pi*0*x)", "where(x < 0.5, x, 1/0*x)", "atan2(0, x)/where(x > 2, 1, 0)")  # fmt: skip
RIGHT = ("x", "1", "+x", "-x**2", "1e-320", "0*x", "x**0", "x**64", "where(1 < 2 and x < 2, x, 0)", "pi", "(((x)))",
         "\n x\t", "\r\nx", "x**x**x", "1/3*3 - 1", "--x", "+-+x", "x**-2", "atan2(0, 0)*x", "min(x, 0.5, -x)",
         "where(x < 0.5, 1/x, 1/(x + 1))", "where(not (x < 0.5 or x > 0.75), 1, 0)", "noise(seed=0)", "box(x, 1, 0)",
         "noise(seed=4294967296)", "9007199254740993*x", "1e-400", "0.1e-300*x", "floor(x)/ceil(x)",
         "(" * 63 + "x" + ")" * 63, "x" + " + x" * 499, "sin(" * 63 + "x" + ")" * 63, "-" * 63 + "x")  # fmt: skip
# Tables that contradict themselves: changes of the case, and what is said.
NAMES: list[tuple[dict[str, object], str]] = [
    ({"define": {"a": "a"}}, "define.a"),
    ({"define": {"a": "b", "b": "c", "c": "laplace(a)"}}, "define.a"),
    ({"define": {"a": "u", "D": "1"}}, "define.D"),
    ({"define": {"": "1"}}, "define"),
    ({"define": {"a b": "1"}}, "a b"),
    ({"define": {"x": "1"}}, "define.x"),
    ({"define": {"sin": "1"}}, "define.sin"),
    ({"define": {"é": "1"}}, "define.é"),
    ({"define": {"a" * 33: "1"}}, "define." + "a" * 33),
    ({"define": {"a": 1}}, "define.a"),
    ({"define": {"a": "grad(u)"}, "evolve": {"u": "a"}}, "vector"),
    ({"define": {"a": "1/0"}, "evolve": {"u": "a"}}, "define.a"),
    ({"fields": {"u": "x"}}, "fields.u"),
    ({"fields": {"k": "u"}}, "fields.k"),
    ({"fields": {"k": "j", "j": "1"}}, "fields.k"),
    ({"fields": {"k": "laplace(x)"}}, "fields.k"),
    ({"fields": {"k": {"file": "none.h5"}}, "evolve": {"u": "k*u"}}, "none.h5"),
    ({"parameters": {"u": 1.0}}, "parameters.u"),
    ({"parameters": {"D": "1"}}, "parameters.D"),
    ({"parameters": {"t": 1.0}}, "parameters.t"),
    ({"parameters": {"2D": 1.0}}, "parameters.2D"),
    ({"parameters": {"__class__": 1.0}}, "parameters.__class__"),
    ({"evolve": {}}, "equation"),
    ({"evolve": {"u": "u", "v_tt": "v"}}, "evolve"),
    ({"evolve": {"u_ttt": "u"}, "initial": {"u": 0.0}}, "u_ttt"),
    ({"evolve": {"u": "v", "v": "u"}}, "initial.v"),
    ({"evolve": {"u_tt": "laplace(u) - u_t"}, "time__scheme": "leapfrog"}, "leapfrog"),
    ({"time__scheme": "leapfrog"}, "leapfrog"),
    ({"initial": {}}, "initial.u"),
    ({"initial": {"u": 0.0, "w": 0.0}}, "initial.w"),
    ({"initial": {"u": 0.0, "u_t": 0.0}}, "initial.u_t"),
    ({"boundary": {"w": {"xmin": {"dirichlet": 0.0}}}}, "boundary.w"),
    ({"boundary": {"xmin": {"dirichlet": 0.0}}}, "boundary.xmin"),
    ({"boundary": {"u": {"xmin": {"dirichlet": "u"}}}}, "boundary.u.xmin.dirichlet: no value of u"),
    ({"boundary": {"u": {"xmin": {"robin": [0.0, 0.0, 1.0]}}}}, "boundary.u.xmin.robin"),
    ({"boundary": {"u": {"xmin": {"robin": ["0*y", "0", 1.0]}}}}, "boundary.u.xmin.robin"),
    ({"boundary": {"u": {"xmin": {"robin": [-16.0, 1.0, 0.0]}}}}, "boundary.u.xmin"),
    ({"boundary": {"u": {"ymin": {"dirichlet": 0.0}}}}, "boundary.u.ymin"),
    ({"boundary": {"u": {"zmin": {"dirichlet": 0.0}}}}, "boundary.u.zmin"),
    ({"boundary": {"u": {"left": {"dirichlet": 0.0}}}}, "boundary.u.left"),
    ({"boundary": {"u": {"xmin": {"dirichlet": "1/t"}}}}, "boundary.u.xmin.dirichlet"),
    ({"boundary": {"u": {"xmin": {"dirichlet": 0.0, "neumann": 0.0}}}}, "boundary.u.xmin"),
    ({"output__fields": ["w"]}, "output.fields"),
    ({"output__fields": ["u", "u"]}, "output.fields"),
    ({"equation": "heat"}, "evolve"),
    ({"run__order": 3}, "run.order"),
    ({"time__scheme": "rk5"}, "time.scheme"),
    ({"time__tolerance": 1e-6, "time__dt": None}, "time.tolerance"),
]
# Equations whose numbers go wrong: the code is 2 where it is known before, 4 where it happens on the way.
WRONG_NUMBERS: list[tuple[dict[str, object], int, str]] = [
    ({"evolve": {"u": "-laplace(u)"}}, 2, "time"),
    ({"evolve": {"u": "biharmonic(u)"}}, 2, "time"),
    ({"evolve": {"u": "D*laplace(u)"}, "time__dt": 1.0, "time__end": 10.0}, 2, "time.dt"),
    ({"evolve": {"u": "u**2"}, "initial": {"u": 10.0}, "time__end": 1.0, "time__dt": 0.01}, 4, "u"),
    ({"evolve": {"u": "u**2"}, "initial": {"u": 10.0}, "time__end": 1.0, "time__dt": None, "time__tolerance": 1e-6,
      "time__scheme": "dp45"}, 4, "u"),
    ({"evolve": {"u": "exp(exp(u))"}, "initial": {"u": 8.0}, "time__dt": 0.1}, 4, "rate"),
    ({"evolve": {"u": "1/u"}, "initial": {"u": 0.0}, "time__dt": 0.001}, 4, "finite"),
    ({"evolve": {"u": "sqrt(-u)"}, "time__dt": 0.001}, 4, "finite"),
    ({"evolve": {"u": "log(u - 5)"}, "time__dt": 0.001}, 4, "finite"),
    ({"evolve": {"u": "u/t"}, "time__dt": 0.001}, 4, "finite"),
    ({"evolve": {"u": "1e300*u"}, "time__dt": 0.001}, 2, "time.dt"),
    ({"evolve": {"u": "u/(u - u)"}, "time__dt": 0.001}, 2, "division by zero"),
    ({"evolve": {"u": "k*laplace(u)"}, "fields": {"k": "-1"}}, 2, "time"),
    ({"evolve": {"u": "div(harmonic(k)*grad(u))"}, "fields": {"k": "log(x - 0.5)"}}, 2, "fields.k"),
    ({"fields": {"k": "1/(t - 0.005)"}, "evolve": {"u": "k*u"}, "time__dt": 0.0025}, 2, "time.dt"),
    ({"evolve": {"u": "u*1e-300"}, "initial": {"u": 1e308}}, 0, "1e+308"),
    ({"evolve": {"u": "0"}}, 0, "result"),
    ({"evolve": {"u": "1"}}, 0, "result"),
    ({"evolve": {"u": "x*t"}}, 0, "result"),
    ({"evolve": {"u": "laplace(u) + mean(u) - integral(u)"}}, 0, "result"),
    ({"evolve": {f"u{n}": f"u{(n + 1) % 40} - u{n}" for n in range(40)}, "initial": {f"u{n}": 1.0 for n in range(40)}},
     0, "field u39"),
]  # fmt: skip
VALUES = {
    "initial.u": dict(initial__u="{}"),
    "boundary.u.xmin.dirichlet": dict(boundary={"u": {"xmin": {"dirichlet": "{}"}}}),
    "boundary.u.xmax.robin": dict(boundary={"u": {"xmax": {"robin": [1.0, "{}", 0.0]}}}),
    "fields.k": dict(fields={"k": "{}"}, evolve={"u": "k*u"}),
}


def put(text: str, changes: object) -> object:
    """The changes of a case with the text in the place of {}."""
    if isinstance(changes, dict):
        return {key: put(text, value) for key, value in changes.items()}
    if isinstance(changes, list):
        return [put(text, value) for value in changes]
    return text if changes == "{}" else changes


def place(text: str, key: str) -> str:
    """The text along an axis that the key has: a side normal to x has y."""
    return re.sub(r"\bx\b", "y", text) if key.startswith("boundary") else text


def own(
    *words: str, code: int = 2, command: str = "run", about: str = "", numpy: bool = True, **changes: object
) -> Input:
    """A case with an equation of its own, on the reference of NumPy: nothing is compiled."""
    device = {"run__device": "numpy"} if numpy else {}
    return case(toml(OWN, **device | changes), *words, code=code, command=command, about=about)


INPUTS: list[Input] = [
    *(
        own(key, word, about=f"{key} = {short(text)!r}", command=command, **put(text, changes))
        for number, (text, word) in enumerate(UNREADABLE.items())
        for key, changes, command in [(*list(VALUES.items())[number % 4], ("run", "check")[number % 2])]
    ),
    *(
        own("evolve.u", word, about=f"evolve.u = {short(text)!r}", command=("run", "check", "eq", "compile")[number % 4],
            evolve={"u": text})
        for number, (text, word) in enumerate(WRONG_RATES.items())
    ),
    *(
        own(key, about=f"{key} = {short(text)!r}", command=("run", "check")[number % 2], **put(place(text, key), changes))
        for number, text in enumerate(NOT_FINITE)
        for key, changes in VALUES.items()
    ),
    *(own("result", code=0, about=f"initial.u = {short(text)!r}", initial={"u": text}) for text in RIGHT),
    *(own(word, about=short(repr(changes)), **changes) for changes, word in NAMES),
    *(own(word, about=short(repr(changes)), code=code, **changes) for changes, code, word in WRONG_NUMBERS),
    replace(own("boundary.u.xmin.dirichlet", boundary={"u": {"xmin": {"dirichlet": "1/(t - 0.005)"}}}, time__dt=0.0025),
            about="not finite on the way", code=4, leaves=("out.h5.frames*",)),
]  # fmt: skip
