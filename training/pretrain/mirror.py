"""Tells a story with men for its women and women for its men, so that a hero is as often the one as the other.

In 84 of 100 of the simple stories a woman is the hero; what learns from them alone calls every Étienne "she". Counterfactual data
augmentation (Lu et al. 2018, arXiv 1807.11714; Zhao et al. 2018, arXiv 1804.06876): everybody changes, so that who is who
stays. Whether "her" becomes "his" or "him" is learned from texts that say "his" and "him". Says nothing of what people wear or
bear: a story with a gown or a beard in it is left as it is (`can_mirror`).
"""

import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace as replaced
from itertools import islice

from joblib import Parallel, delayed
from sklearn.feature_extraction import FeatureHasher
from sklearn.linear_model import LogisticRegression

from data.english import is_ordinary, listed_gender, pronouns
from data.names import CAPITAL, name_counts
from data.slots import gender_of
from training.pretrain.corpus import Text
from training.pretrain.names import drawn, is_given, replace, taken_by

EXAMPLES = 100_000
"""Uses of "his" and "him" that the choice between the two is learned from."""

_PAIRS = """she he, herself himself, woman man, women men, girl boy, girls boys, lady gentleman, ladies gentlemen,
 mother father, mothers fathers, mom dad, mum dad, mommy daddy, mama papa, mamá papá, maman papa,
 grandmother grandfather, grandmothers grandfathers, grandma grandpa, granny grandpa, grandmama grandpapa, nana grandpa,
 daughter son, daughters sons, granddaughter grandson, granddaughters grandsons, sister brother, sisters brothers,
 aunt uncle, aunts uncles, auntie uncle, aunty uncle, niece nephew, nieces nephews, wife husband, wives husbands,
 widow widower, widows widowers, bride groom, brides grooms, girlfriend boyfriend, girlfriends boyfriends, landlady landlord,
 schoolgirl schoolboy, schoolgirls schoolboys, heiress heir, stepdaughter stepson, goddaughter godson, fiancée fiancé,
 godmother godfather, stepmother stepfather, stepsister stepbrother,
 queen king, queens kings, princess prince, princesses princes, duchess duke, countess count, empress emperor, baroness baron,
 lady lord,
 mrs mr, ms mr, madam sir, ma'am sir, madame monsieur, mademoiselle monsieur, señora señor, señorita señor, signora signor,
 abuela abuelo, abuelita abuelito, nonna nonno, tía tío, female male, females males, feminine masculine, lass lad,
 waitress waiter, waitresses waiters, priestess priest, sorceress sorcerer, witch wizard, witches wizards, nun monk, nuns monks,
 mermaid merman,
 fisherwoman fisherman, craftswoman craftsman, businesswoman businessman, saleswoman salesman, policewoman policeman,
 noblewoman nobleman, horsewoman horseman, sportswoman sportsman, sisterhood brotherhood, womanhood manhood,
 girlhood boyhood, motherhood fatherhood, motherly fatherly, womanly manly, girlish boyish, hers his"""

_ALIKE = "heroine hero, heroines heroes, actress actor, actresses actors, hostess host, seamstress tailor"
"""A woman's word, and one that is a man's and a woman's alike (or a verb), which stays as it is."""

_BOUND = re.compile(
    r"\b(pregnan\w+|gave birth|births?|womb|breasts?|bosom|midwi\w+|beard\w*|moustache|mustache|dress|dresses|gowns?|"
    r"skirts?|corset|lipstick|bikini|necktie|geisha|quinceañera|maiden\w*|mother (?:nature|earth)|isle of man)\b",
    re.IGNORECASE,
)
_PLACE = r"(?:Lake|Mount|Mt\.?|Saint|St\.?|Ste\.?|San|Santa|Port|Fort|Cape|Isle of|Isla|Rue|Rua|Via) "
_PLACED = r" (?:Island|Isle|Lake|Street|Avenue|Bay|Falls|Park|River|Beach|Valley|Springs|City)\b"
_SURNAMED = re.compile(rf"\b(?!(?:A|And|But|Old|Our|That|The|Then|When) )[{CAPITAL}][\w.]* \Z")
_TOKEN = re.compile(r"[^\W\d_]+|[^\w\s]")
_OWNED = re.compile(r" (?!(?:and|but|now|or|then|to|too|when|while|who)\b)[\"'“‘(]?[^\W_]")
_BEFORE = re.compile(r"([^\W\d_]+)\W*\Z")


def _tables() -> tuple[dict[str, str], dict[str, str]]:
    """Women's words to men's and back; of several women's words for one of men's, the first comes back."""
    to_men = {"miss": "mr"} | dict(pair.split() for pair in _ALIKE.split(","))
    to_women = {"him": "her", "himself": "herself", "bridegroom": "bride", "granddad": "grandma"}
    for hers, his in map(str.split, _PAIRS.split(",")):
        to_men[hers] = his
        to_women.setdefault(his, hers)
    return to_men, to_women


_TO_MEN, _TO_WOMEN = _tables()
_GENDERED = re.compile(
    r"\b(" + "|".join(sorted({"her", *_TO_MEN, *_TO_WOMEN}, key=len, reverse=True)) + r")\b", re.IGNORECASE
)
_CAPITAL = re.compile(rf"\b[{CAPITAL}][^\W\d_{CAPITAL}]{{2,}}\b")


def can_mirror(text: str) -> bool:
    """Whether nothing in ``text`` is bound to one gender beside the words that change."""
    return not _BOUND.search(text)


def women_lead(text: str) -> bool:
    """Whether women's pronouns stand in ``text`` more than twice as often as men's."""
    women, men = pronouns(text)
    return women > 2 * men


def mirrored(texts: Sequence[Text], shares: Mapping[str, float], seed: int) -> list[Text]:
    """``texts`` in their order, of those that women lead a share (by source) told the other way round.

    Never one that is held out, or whose brief is given with it.
    """

    def chosen(text: Text) -> bool:
        share = shares.get(text.source, 0.0)
        free = not text.held_out and text.brief is None
        return free and random.Random(f"mirror:{seed}:{text.id}").random() < share

    asked = [text for text in texts if chosen(text) and can_mirror(text.text) and women_lead(text.text)]
    if not asked:
        return list(texts)
    mirror = Mirror(text.text for text in texts if not text.held_out)
    told: list[str] = Parallel(n_jobs=-1, batch_size=32)(
        delayed(mirror)(text.text, random.Random(f"mirror names:{seed}:{text.id}")) for text in asked
    )
    new = {text.id: replaced(text, text=other) for text, other in zip(asked, told, strict=True)}
    return [new.get(text.id, text) for text in texts]


class Mirror:
    """Tells stories the other way round; what "her" becomes is learned once, from ``texts``.

    Raises ValueError where ``texts`` hold no "his" or no "him".
    """

    def __init__(self, texts: Iterable[str]) -> None:
        examples = list(islice(_examples(texts), EXAMPLES))
        owned = [own for _, own in examples]
        if len(set(owned)) < 2:
            raise ValueError(
                "what 'her' becomes is learned from texts that say 'his' and 'him'; these do not"
            )
        self._hasher = FeatureHasher(2**18, input_type="string")
        self._choice = LogisticRegression(C=10.0, solver="liblinear", random_state=0)
        self._choice.fit(self._hasher.transform(features for features, _ in examples), owned)

    def owns(self, features: Sequence[Sequence[str]]) -> list[bool]:
        """Whether each "her" is a possessive, by `around` it."""
        return list(map(bool, self._choice.predict(self._hasher.transform(features)))) if features else []

    def __call__(self, text: str, rng: random.Random) -> str:
        """``text`` with all genders changed, and new names drawn for all whose name is known to be a person's."""
        text = replace(text, _names(text, rng))
        hits = list(_GENDERED.finditer(text))
        her = [hit for hit in hits if hit[0].lower() == "her"]
        owned = dict(
            zip((h.start() for h in her), self.owns([around(text, *h.span()) for h in her]), strict=True)
        )
        parts, done = [], 0
        for hit in hits:
            parts += [text[done : hit.start()], _cased(_other(text, hit, owned), hit[0])]
            done = hit.end()
        return "".join([*parts, text[done:]])


def around(text: str, start: int, end: int) -> list[str]:
    """The words around a pronoun, as features: the one before, two after (or what punctuation), their ends and pairs."""
    before = _BEFORE.search(text[max(0, start - 30) : start])
    previous = before[1].lower() if before else ""
    after = [token.lower() for token in _TOKEN.findall(text[end : end + 50])][:2]
    first, second = (*after, "", "")[:2]
    return [
        f"before {previous}",
        f"next {first}",
        f"then {second}",
        f"end {first[-3:]}",
        f"ends {first[-3:]} {second[-3:]}",
        f"pair {previous} {first}",
        f"pair {first} {second}",
    ]


def _examples(texts: Iterable[str]) -> Iterator[tuple[list[str], bool]]:
    """(features, whether it is "his") of the uses of "his" and "him"; "his" that stands alone would be "hers"."""
    for text in texts:
        for hit in re.finditer(r"\b(?:his|him)\b", text):
            own = hit[0] == "his"
            if not own or _follows(text, hit.end()):
                yield around(text, *hit.span()), own


def _follows(text: str, end: int) -> bool:
    """Whether something that may be owned is named right behind ``end``."""
    return bool(_OWNED.match(text[end : end + 9]))


def _other(text: str, hit: re.Match[str], owned: dict[int, bool]) -> str:
    low, capital = hit[0].lower(), hit[0][0].isupper()
    if low == "her":
        return "his" if owned[hit.start()] else "him"
    if low == "his":
        return "her" if _follows(text, hit.end()) else "hers"
    if capital and re.match(_PLACED, text[hit.end() : hit.end() + 12]):
        return low  # King Street
    named = capital and bool(re.match(rf"\.? [{CAPITAL}]", text[hit.end() : hit.end() + 3]))
    if low in ("miss", "lady", "count") and not named:  # "I miss you"; "to count"
        return {"lady": "gentleman"}.get(low, low)
    if low in ("king", "queen") and capital and _SURNAMED.search(text[: hit.start()][-20:]):
        return low
    if low == "sir" and named:
        return "lady"
    return _TO_MEN.get(low) or _TO_WOMEN[low]


def _cased(word: str, like: str) -> str:
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word[0].upper() + word[1:] if like[0].isupper() else word


def _names(text: str, rng: random.Random) -> dict[str, str]:
    """Every given name of ``text`` to a new one of the other gender."""
    found = name_counts(text)
    genders = {}
    for name in dict.fromkeys([*found, *_CAPITAL.findall(text)]):
        listed = listed_gender(name.casefold())
        known = listed and (name in found or not is_ordinary(name.casefold()))
        placed = rf"{_PLACE}{name}\b|\b{name}{_PLACED}|-{name}\b|\b{name}-"
        if (known or found[name] > 1) and is_given(name, text) and not re.search(placed, text):
            genders[name] = "m" if (listed or gender_of(name, text)) == "f" else "f"
    return drawn(genders, taken_by(text), rng)
