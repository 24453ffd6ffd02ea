"""Models that adapters made of one base, in one batch: each row is what its own model says, each text what that model tells alone."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from data.brief import Brief
from inference import draws, packed_weights
from inference.checkpoints import load, load_weights, resolve
from inference.drawing import Drawing, Settings
from inference.row_cache import RowCache
from inference.sample import Sample
from inference.telling import tell_together
from inference.thin_differences import WIDEST, thin_difference

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this build of torch comes without oneDNN"
)
SEEN = [
    "Ada Moreau came in out of the rain and sat down by the window. She had all day.",
    "It was late, and he left.",
]


@pytest.fixture(autouse=True)
def _small_ones_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_weights, "SMALL", 0)


def tuned(seed: int, rank: int = 3, only: str = "_proj") -> PreTrainedModel:
    """The small base with products of two narrow matrices on top of its weights, as a merged adapter leaves them."""
    model = load_weights(resolve("stories")).eval()
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        if only in name:
            up, down = (torch.randn(size, rank, generator=generator) for size in weight.shape)
            weight.data += up @ down.T * 0.03 * weight.std() / rank
    return model


def test_the_narrow_matrices_are_found_again() -> None:
    base, model = load_weights(resolve("stories")), tuned(1, only=".mlp.")
    found = thin_difference(model, base)
    assert found is not None and set(found) == {
        n for n, _ in base.named_modules() if n.rpartition(".")[0].endswith("mlp") and "proj" in n
    }
    for name, (down, up) in found.items():
        wanted = model.get_submodule(name).weight - base.get_submodule(name).weight  # type: ignore[operator]
        assert len(down) == up.shape[1] == 3
        torch.testing.assert_close(up @ down, wanted, rtol=1e-3, atol=1e-6)
    assert thin_difference(base, base) == {}


@pytest.mark.parametrize("where", ["embed_tokens", "norm"])
def test_models_that_differ_elsewhere_or_widely_have_none(where: str) -> None:
    base = load_weights(resolve("stories"))
    model = tuned(1, only=".mlp.")
    for name, weight in model.named_parameters():
        if where in name:
            weight.data += 0.01
    assert thin_difference(model, base) is None
    wide = tuned(1, rank=2 * WIDEST)
    assert thin_difference(wide, base) is None


def test_each_text_is_what_its_own_model_says() -> None:
    base, models = load("stories").model, [tuned(1), tuned(2, only="q_proj")]
    thin = [thin_difference(model, base) for model in models]
    cache = RowCache(base, 4, 4, [one for one in thin if one is not None])
    texts = [list(range(5, 30)), list(range(40, 49)), list(range(60, 90)), list(range(7, 19))]
    of = (2, 0, 1, 1)
    everyone = [base, *models]

    def own(number: int, tokens: Sequence[int]) -> torch.Tensor:
        with torch.inference_mode():
            scores: torch.Tensor = everyone[number](input_ids=torch.tensor([list(tokens)])).logits[0, -1]
        return scores

    for text, (tokens, number) in enumerate(zip(texts, of, strict=True)):
        cache.clear(text, number)
        torch.testing.assert_close(cache.read(text, tokens), own(number, tokens), rtol=1e-3, atol=1e-4)
    found = cache.step([100 + row for row in range(16)])
    for row in range(16):
        wanted = own(of[row // 4], [*texts[row // 4], 100 + row])
        torch.testing.assert_close(found[row], wanted, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(own(1, texts[0]), own(2, texts[0]), atol=1e-2)  # they do differ
    cache.keep([2, 0])
    found = cache.step([200, *[None] * 3, 201, *[None] * 3])
    torch.testing.assert_close(found[0], own(1, [*texts[2], 108, 200]), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(found[4], own(2, [*texts[0], 100, 201]), rtol=1e-3, atol=1e-4)
    alone = RowCache(base, 1, 4, [one for one in thin if one is not None])
    alone.clear(0, 1)
    assert torch.equal(alone.read(0, texts[2]), read_last(base, thin, texts[2]))


def read_last(base: PreTrainedModel, thin: Sequence[Any], tokens: Sequence[int]) -> torch.Tensor:
    """What the same text gets as the last of three others."""
    cache = RowCache(base, 4, 4, thin)
    for text, number in enumerate((2, 0, 2)):
        cache.clear(text, number)
        cache.read(text, [9, 8, 7])
    cache.clear(3, 1)
    return cache.read(3, tokens)


@pytest.fixture
def sets(tmp_path: Path) -> list[draws._Set]:
    """The final model's, the base's, a control's that is no adapter's work, and those of two folds."""
    found = []
    for number, (name, model) in enumerate(
        {
            draws.FINAL: tuned(3),
            draws.CONTROL: tuned(4, only="embed"),
            draws.fold_set(0): tuned(1),
            draws.fold_set(1): tuned(2),
        }.items()
    ):
        folder = tmp_path / name
        model.save_pretrained(folder)
        resolve("stories").tokenizer().save_pretrained(folder)
        briefs = [Brief(name=who, length=170 + 40 * number) for who in ("Ada Moreau", "Paul Roche")]
        found.append(draws._Set(name, folder, briefs, number, SEEN))
    return [found[0], draws._Set(draws.BASE, "stories", found[0].briefs, 0, SEEN), *found[1:]]


def test_texts_of_several_models_are_those_that_each_tells_alone(sets: list[draws._Set]) -> None:
    settings = {
        "temperature": 0.8, "top_p": 1.0, "min_p": 0.1, "plan": "bank", "draws": 2, "guidance": None, "guard": True,
        "max_new_tokens": 120, "batch_size": 32,
    }  # fmt: skip
    run: Any = SimpleNamespace(base_source="stories")
    ready: list[None] = []
    found = draws._drawn_together(run, sets, settings, lambda: ready.append(None))
    # Neither the final model's, which its own weights tell, nor one that has other embeddings.
    assert list(found) == [draws.BASE, draws.fold_set(0), draws.fold_set(1)] and len(ready) == 6
    for one in sets:
        if one.name in found:
            assert found[one.name] == told_alone(one, settings)
    told = {name: [sample.text for sample in samples] for name, samples in found.items()}
    assert len({text for texts in told.values() for text in texts}) == 6


def told_alone(one: draws._Set, settings: dict[str, Any]) -> list[Sample]:
    """What the set's model tells in a batch of its own."""
    base = load("stories")
    thin = None if one.name == draws.BASE else thin_difference(load_weights(resolve(one.source)), base.model)
    drawing = Drawing(base, one.originals, None, Settings(seed=one.seed, strict=False, **settings))
    planned, numbers = drawing.planned(drawing.briefs(one.briefs, {}, 1))
    (told,) = tell_together([drawing.job(planned, numbers, thin)])
    return drawing.chosen(drawing.samples_told(told, planned, numbers))


def test_nothing_is_shared_where_weights_are_not_packed(
    sets: list[draws._Set], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed_weights, "SMALL", 10**9)
    run: Any = SimpleNamespace(base_source="stories")
    assert draws._drawn_together(run, sets, {"plan": "bank"}, lambda: None) == {}
