"""How sensitive results are to hyperparameters: what the documents show is what the table of real trainings says."""

import pathlib

import keras_tuner
import numpy as np
import pytest

import keras_optims
from scripts import sensitivity, sensitivity_pictures, sensitivity_tables, sensitivity_trials
from scripts.sensitivity_trials import BEST, BUDGETS, DEFAULT, SEARCHED, STUDIED, Search, Training
from tuning.oracles import make_oracle
from tuning.space.axes import Axis
from tuning.space.space import Space

pytestmark = pytest.mark.backend("tensorflow")

ROOT = pathlib.Path(__file__).parents[2]
TRAININGS = sensitivity_trials.read()
PAIRS = [(problem, optimizer) for problem in BUDGETS for optimizer in STUDIED]
VALIDATION_SAMPLES = {"digits_mlp": 360, "mnist_mlp": 10_000, "cifar10_cnn": 10_000}


def trainings_of(problem, optimizer, kind):
    return [line for line in TRAININGS if (line.problem, line.optimizer, line.kind) == (problem, optimizer, kind)]


def proposed(optimizer, trials):
    """The settings that a quasirandom search tries."""
    ranges = {name: (axis.low, axis.high, axis.scale) for name, axis in sensitivity_trials.AXES[optimizer].items()}
    hyperparameters = Space.of(optimizer, ranges).hyperparameters()
    objective = keras_tuner.Objective("val_accuracy", "max")
    oracle = make_oracle(
        "quasirandom", objective=objective, hyperparameters=hyperparameters, trials=trials, epochs=1, seed=0, sampler=None
    )
    return [oracle.populate_space(str(number))["values"] for number in range(trials)]


@pytest.mark.parametrize("optimizer", STUDIED)
def test_the_table_has_the_settings_that_the_search_proposes_on_every_problem(optimizer):
    settings = proposed(optimizer, max(budget.trials for budget in BUDGETS.values()))
    for problem, budget in BUDGETS.items():
        trials = trainings_of(problem, optimizer, SEARCHED)
        assert [trial.number for trial in trials] == list(range(budget.trials))
        assert [trial.setting for trial in trials] == settings[: budget.trials]


@pytest.mark.parametrize(("problem", "optimizer"), PAIRS)
def test_the_best_and_the_default_setting_were_trained_again(problem, optimizer):
    trials, best, default = (trainings_of(problem, optimizer, kind) for kind in (SEARCHED, BEST, DEFAULT))
    highest = max(trial.accuracy or 0 for trial in trials)
    first = next(trial for trial in trials if trial.accuracy == highest)
    assert [line.setting for line in best] == [first.setting] * sensitivity.SEEDS
    declared = keras_optims.OPTIMIZERS[optimizer].hyperparameters()
    assert [line.setting for line in default] == [{name: declared[name].default for name in first.setting}] * sensitivity.SEEDS


def test_accuracies_are_shares_of_the_validation_samples():
    for line in TRAININGS:
        assert line.state == ("diverged" if line.accuracy is None else "completed")
        right = (line.accuracy or 0) * VALIDATION_SAMPLES[line.problem]
        assert right == pytest.approx(round(right), abs=1e-2)


@pytest.mark.parametrize("name", [*STUDIED, "story", "story.ko"])
def test_the_page_has_the_table(name):
    page = ROOT / "docs" / f"{name if name in sensitivity_tables.STORIES else f'optimizers/{name}'}.md"
    text = page.read_text()
    assert f"\n\n{sensitivity_tables.table(name, TRAININGS)}\n\n" in text
    if name in STUDIED:
        assert f"(../pictures/sensitivity_{name}.png)" in text
        assert f"`python scripts/sensitivity.py picture {name}`" in text
    else:
        assert "`python scripts/sensitivity.py search`" in text


@pytest.mark.parametrize("optimizer", STUDIED)
def test_a_picture_has_every_trial_in_every_row(optimizer):
    chart = sensitivity_pictures.picture(optimizer, TRAININGS)
    rows = len(sensitivity_trials.shown_axes(optimizer))
    points = [trace for trace in chart.data if trace.mode == "markers" and trace.marker.symbol is None]
    crosses = [trace for trace in chart.data if trace.marker.symbol == "x"]
    assert len(points) == len(crosses) == 3 * rows
    for column, problem in enumerate(BUDGETS):
        search = Search.of(TRAININGS, problem, optimizer)
        for row in range(rows):
            assert len(points[column * rows + row].x) == len(search.trials) - search.diverged
            assert len([x for x in crosses[column * rows + row].x if x is not None]) == search.diverged
    diamonds = [trace for trace in chart.data if trace.marker.symbol == "diamond"]
    default = np.mean([line.accuracy or 0 for line in trainings_of("digits_mlp", optimizer, DEFAULT)])
    assert 1 - 10 ** -diamonds[0].y[0] == pytest.approx(max(default, sensitivity_trials.CHANCE))


def words(path):
    return " ".join((ROOT / path).read_text().split())


def test_what_the_pages_say_of_all_optimizers_follows_from_the_table():
    searches = {problem: [Search.of(TRAININGS, problem, optimizer) for optimizer in STUDIED] for problem in BUDGETS}
    assert len([line for line in TRAININGS if line.kind == SEARCHED]) == 960
    assert not any(search.diverged for found in searches.values() for search in found)
    digits, mnist, cifar = (f"{sensitivity_trials.seed_deviation(TRAININGS, problem):.1f}" for problem in BUDGETS)
    page = words("docs/sensitivity.md")
    assert f"a standard deviation of {digits} points on digits, {mnist} on MNIST and {cifar} on CIFAR-10" in page
    lost = [100 * (search.accuracies.max() - np.mean(search.best)) for search in searches["cifar10_cnn"]]
    assert f"lose {np.mean(lost):.1f} points on average, and one of them {max(lost):.1f}" in page

    def apart(problem, kind):
        means = [100 * np.mean(getattr(search, kind)) for search in searches[problem]]
        return max(means) - min(means)

    def middle_halves(*problems):
        quartiles = [np.quantile(search.accuracies, (0.25, 0.75)) for problem in problems for search in searches[problem]]
        return [100 * (high - low) for low, high in quartiles]

    assert max(apart("digits_mlp", "best"), apart("mnist_mlp", "best")) < 1
    small, large = middle_halves("digits_mlp", "mnist_mlp"), middle_halves("cifar10_cnn")
    defaults = [apart(problem, "default") for problem in ("digits_mlp", "mnist_mlp")]
    story, korean = words("docs/story.md"), words("docs/story.ko.md")
    assert f"differ by {min(small):.0f} to {max(small):.0f} points" in story
    assert f"{min(small):.0f}~{max(small):.0f}%포인트" in korean
    assert f"differ by {defaults[0]:.0f} and {defaults[1]:.0f} points" in story
    assert f"{defaults[0]:.0f}%포인트와 {defaults[1]:.0f}%포인트" in korean
    assert f"are {apart('cifar10_cnn', 'best'):.0f} points apart" in story
    assert f"{apart('cifar10_cnn', 'best'):.0f}%포인트 차이가" in korean
    assert f"spans {min(large):.0f} to {max(large):.0f} points" in story
    assert f"{min(large):.0f}~{max(large):.0f}%포인트" in korean


# -- the measures ----------------------------------------------------------------------------------


def made_up(accuracies, rates, momenta=None):
    momenta = [0.9] * len(rates) if momenta is None else momenta
    trials = [
        Training(
            "digits_mlp",
            "momentum",
            SEARCHED,
            number,
            {"learning_rate": rate, "momentum": momentum},
            "completed" if accuracy else "diverged",
            accuracy or None,
        )
        for number, (accuracy, rate, momentum) in enumerate(zip(accuracies, rates, momenta, strict=True))
    ]
    return Search("digits_mlp", "momentum", trials, [0.9], [0.8])


def test_near_the_best_is_at_most_two_points_below_it():
    search = made_up([0.95, 0.97, 0, 0.9499, 0.96], [0.001, 0.01, 1, 0.1, 0.5])
    assert [trial.number for trial in search.near()] == [0, 1, 4]
    rate, momentum = sensitivity_trials.AXES["momentum"].values()
    assert search.between(rate) == 4
    assert search.diverged == 1
    assert search.best_trial.number == 1
    assert sensitivity_tables.range_text(rate, search.near()) == "0.001 to 0.5 (×500)"
    assert sensitivity_tables.range_text(momentum, search.near()) == "0.9 to 0.9"


def test_an_axis_that_decides_foretells_the_ranks_and_one_that_does_not_does_not():
    generator = np.random.default_rng(0)
    rates, momenta = 10 ** generator.uniform(-3, 0, 64), 1 - 10 ** generator.uniform(-2.3, -0.3, 64)
    rate, momentum = sensitivity_trials.AXES["momentum"].values()
    by_rate = made_up(0.9 - 0.1 * abs(np.log10(rates) + 1), rates, momenta)
    assert by_rate.foretold(rate) > 0.95
    assert by_rate.foretold(momentum) == 0
    by_both = made_up(0.9 - 0.1 * abs(np.log10(rates / (1 - momenta))), rates, momenta)
    assert by_both.foretold(sensitivity_trials.EFFECTIVE) > 0.95
    assert by_both.foretold(rate) < 0.7


def test_the_guess_of_a_rank_does_not_know_that_rank():
    search = made_up(np.linspace(0.1, 0.9, 8), np.logspace(-3, 0, 8))
    guesses = [3, 3.25, 3.6, 4, 5, 5.4, 5.75, 6]  # of ranks 1 to 8, by hand: at the ends there are fewer neighbours
    errors = sum((rank - guess) ** 2 for rank, guess in enumerate(guesses, start=1))
    assert search.foretold(sensitivity_trials.AXES["momentum"]["learning_rate"]) == pytest.approx(1 - errors / 42)


def test_values_are_brief():
    rate, momentum = sensitivity_trials.AXES["momentum"].values()
    assert sensitivity_tables.brief(rate, 0.0123456) == "0.012"
    assert sensitivity_tables.brief(rate, 0.981) == "0.98"
    assert sensitivity_tables.brief(momentum, 0.9943211) == "0.9943"
    assert sensitivity_tables.brief(momentum, 0.5432) == "0.54"


def test_texts_of_ticks_do_not_touch():
    axis = Axis("learning_rate", scale="log", low=1e-5, high=1.0)
    wide, narrow = (sensitivity_pictures.ticks_across(axis, pixels)["ticktext"] for pixels in (1000, 150))
    assert set(wide) == {"1e-5", "0.0001", "0.001", "0.01", "0.1", "1"}
    assert narrow == ["1e-5", "0.001", "0.1", "1"]  # 0.1 and 1 are 30 pixels apart, and their texts 27 at most


# -- the search ------------------------------------------------------------------------------------


def test_a_search_writes_its_rows_and_leaves_those_of_others(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = tmp_path / "trials.csv"
    others = [line for line in TRAININGS if line.optimizer == "adam" and line.problem == "digits_mlp"][:3]
    stale = trainings_of("digits_mlp", "momentum", SEARCHED)[:5]
    sensitivity_trials.write(others + stale, table)
    command = ["search", "--problem", "digits_mlp", "--optimizer", "momentum", "--trials", "2", "--epochs", "1"]
    command += ["--directory", "stores", "--table", str(table)]
    sensitivity.main(command)
    written = sensitivity_trials.read(table)
    assert [line for line in written if line.optimizer == "adam"] == others
    own = [line for line in written if line.optimizer == "momentum"]
    assert [line.kind for line in own] == [SEARCHED] * 2 + [BEST] * 3 + [DEFAULT] * 3
    assert [line.setting for line in own[:2]] == proposed("momentum", 2)
