"""Every way in which an answer could tell what is hidden, as requests.

What of the request's grammar can be listed, is taken from the grammar's own tables: a new
operator, aggregate, parameter or preference without requests here fails the build.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, get_args

import msgspec
from msgspec import Struct

from carboy.request import EXPORTS, Prefer
from carboy.request.ast import Aggregate, Operator, SelectEmbed, SelectItem
from carboy.request.filters import _QUANTIFIED
from carboy.request.query_string import _SCOPED_WORDS, _SINGLES
from carboy.wsgi import _HEADERS

from .vault import HIDDEN


class Ask(Struct, frozen=True):
    """A request under /api/; ``follow`` goes through all pages."""

    path: str
    method: str = "GET"
    json: Any = None
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    follow: bool = False


class Subject(Struct, frozen=True):
    """What is hidden: rows with these in their fields, or the fields themselves.

    ``hidden`` is a pattern of the words that nobody but ``seers`` may be answered.
    """

    text: str
    number: str
    json: str
    word: str
    datum: str
    hidden: str
    seers: tuple[str, ...]


ROWS = Subject(
    "title", "rank", "data", f"{HIDDEN}-title yeast", f"{HIDDEN}-data",
    rf"{HIDDEN}-(?!memo)[-\w]+", ("owner", "limited", "admin"),
)  # fmt: skip
FIELDS = Subject(
    "memo", "score", "facts", f"{HIDDEN}-memo yeast", f"{HIDDEN}-memo yeast",
    rf"{HIDDEN}-(?:memo|changed)", ("reader", "owner", "other", "admin"),
)  # fmt: skip
_COUNT = {"Prefer": "count=exact"}
_DRY = {"Prefer": "tx=rollback"}

FILTERS = {
    "eq": "{text}=eq.{word}",
    "neq": "{text}=neq.open yeast",
    "gt": "{number}=gt.50",
    "gte": "{number}=gte.77",
    "lt": "{number}=lt.100",
    "lte": "{number}=lte.77",
    "like": "{text}=like.HIDDEN*",
    "ilike": "{text}=ilike.hidden*",
    "in": "{text}=in.({word},x)",
    "is": "{text}=is.not_null",
    "isdistinct": "{number}=isdistinct.1",
    "cs": '{json}=cs.["{datum}"]',
    "cd": '{json}=cd.["{datum}","x"]',
    "ov": '{json}=ov.["{datum}"]',
    "fts": "{text}=fts.yeast",
    "plfts": "{text}=plfts.yeast",
    "phfts": "{text}=phfts.yeast",
    "wfts": "{text}=wfts.yeast",
}


def computed() -> set[str]:
    """The leak paths that the grammar itself names."""
    names = {f"filter:{op}" for op in get_args(Operator)}
    names |= {f"quantified:{op}" for op in _QUANTIFIED}
    names |= {f"aggregate:{function}" for function in get_args(Aggregate)}
    names |= {f"parameter:{name}" for name in (*_SINGLES, *_SCOPED_WORDS)}
    names |= {f"select:{kind.__name__}" for kind in get_args(SelectItem)}
    names |= {f"embed:{n}" for n in SelectEmbed.__struct_fields__ if n not in ("relation", "items")}
    names |= {f"prefer:{name}" for name in Prefer.__struct_fields__}
    return names | {f"header:{name}" for name in _HEADERS}


def leaks(of: Subject) -> dict[str, Sequence[Ask]]:
    """The requests of each path, about hidden rows or hidden fields."""
    found: dict[str, Sequence[Ask]] = {}
    for op, template in FILTERS.items():
        found[f"filter:{op}"] = list(_filtered(_query(template, of)))
    for op in sorted(_QUANTIFIED):
        name, _, value = _query(FILTERS[op], of).partition("=")
        value = value.partition(".")[2]
        values = f"{{{value},{60 if op[0] in 'gl' and op != 'like' else 'x'}}}"
        tree = f"or=({name}.{op}(any).{values},{name}.{op}(all).{values})"
        found[f"quantified:{op}"] = [Ask(f"papers?{tree}", headers=_COUNT)]
    for function in get_args(Aggregate):
        name = of.number if function in ("sum", "avg") else of.text
        call = f"{name}.{function}()"
        selects = [f"shared,x:{call}", f"id,replies({call})"]
        found[f"aggregate:{function}"] = [Ask(f"papers?select={s}") for s in selects]
    found["aggregate:count"] = [
        *found["aggregate:count"],
        *(
            Ask(f"papers?select={s}")
            for s in ("count()", f"{of.text},count()", "id,remarks(count())")
        ),
        Ask("papers?select=id,labels(count()),replies(count())"),
        Ask("people?select=count(),house"),
    ]
    return found | _parameters(of) | _selects(of) | _headers(of) | _others(of)


def _query(template: str, of: Subject) -> str:
    query = template
    for name in ("text", "number", "json", "word", "datum"):
        query = query.replace("{" + name + "}", getattr(of, name))
    return query


def _filtered(query: str) -> Iterator[Ask]:
    """A filter by itself, turned around in a tree, and on embeds."""
    name, _, value = query.partition("=")
    yield Ask(f"papers?{query}", headers=_COUNT)
    operator, _, rest = value.partition(".")
    if operator != "is" and not rest.startswith(("(", "[", "{")):
        value = f'{operator}."{rest}"'
    yield Ask(f"papers?or=(id.eq.13,{name}.not.{value})")
    embedded = f"parent.{query}&replies.{query}&parent=not.is.null"
    yield Ask(f"papers?select=id,parent(id),replies(id)&{embedded}")


def _parameters(of: Subject) -> dict[str, Sequence[Ask]]:
    text = of.text
    orders = [text, f"{text}.desc.nullslast", f"parent({text})", f"parent(parent({text})).desc"]
    return {
        "parameter:order": [
            *(Ask(f"papers?order={order}&limit=1", follow=True) for order in orders),
            Ask(f"papers?select=id,replies({text})&replies.order={text}"),
            Ask(f"papers?order={of.json}->>0&limit=2", follow=True),
        ],
        "parameter:limit": [Ask(f"papers?limit={n}&order=id.desc") for n in (3, 4)],
        "parameter:offset": [Ask(f"papers?limit=1&offset={n}") for n in range(6)],
        "parameter:page": [Ask(f"papers?page={n}&per_page=2") for n in range(1, 5)],
        "parameter:per_page": [Ask(f"papers?per_page={n}", headers=_COUNT) for n in (3, 4)],
        "parameter:after": [
            Ask("papers?limit=1", follow=True),
            Ask("remarks?limit=1", follow=True),
        ],
        "parameter:q": [
            Ask("papers?q=yeast", headers=_COUNT),
            Ask("papers?q=yeast&select=id&limit=1", follow=True),
            Ask("papers?q=HIDDEN"),
            Ask("remarks?q=HIDDEN", headers=_COUNT),
        ],
        "parameter:select": [
            Ask("papers"),
            Ask(f"papers?select={text}"),
            Ask("papers/11?select=*"),
        ],
        "parameter:on_conflict": [
            Ask(f"papers?on_conflict={text}"),
            Ask(f"papers?on_conflict={text},nope", "POST", {"title": "x"}, _DRY),
            Ask("papers?on_conflict=rank", "POST", {"title": "x"}, _DRY),
        ],
        "parameter:and": [Ask(f"papers?and=({text}.like.HIDDEN*,id.gt.0)", headers=_COUNT)],
        "parameter:or": [
            Ask(f"papers?not.or=({text}.like.HIDDEN*,id.lt.0)", headers=_COUNT),
            Ask(f"papers?select=id,replies(id)&replies.or=({text}.like.HIDDEN*,id.lt.0)"),
        ],
    }


def _selects(of: Subject) -> dict[str, Sequence[Ask]]:
    text = of.text
    deep = f"id,owner(name,papers(id,{text},remarks(text)))"
    return {
        "select:SelectAll": [Ask("papers?select=*,replies(*,remarks(*))")],
        "select:SelectField": [
            Ask(f"papers?select={text},{of.number},{of.json}"),
            Ask(f"papers?select={of.json}->0,{of.json}->>0"),
        ],
        "select:SelectEmbed": [
            Ask(f"papers?select=id,replies({text},{of.json})"),
            Ask("papers?select=id,owner(name),parent(id),remarks(text),labels(name)"),
        ],
        "embed:alias": [Ask(f"papers?select=a:{text},b:parent(c:{text})&b=not.is.null")],
        "embed:hint": [Ask(f"papers?select=id,papers!parent_id(id,{text})")],
        "embed:inner": [
            Ask(f"papers?select=id,replies!inner({text})", headers=_COUNT),
            Ask("people?select=id,papers!inner(remarks!inner(id))", headers=_COUNT),
        ],
        "embed:spread": [
            Ask(f"papers?select=id,...parent(p:{text})"),
            Ask(f"papers?select=id,...replies(r:{text})"),
        ],
        "embed:depth": [
            Ask(f"papers?select={deep}"),
            Ask(f"papers?select=id,labels(name,papers(id,{text}))"),
            Ask(f"papers?select={deep}&owner.papers.order={text}&owner.papers.limit=1"),
            Ask(
                "papers?select=id,parent(parent(remarks(count())))&parent.parent.remarks.text=like.H*"
            ),
            Ask("papers?select=id,remarks(paper(owner(name)))&remarks=is.null", headers=_COUNT),
        ],
        "embed:null": [
            Ask(f"papers?select=id,{name}()&{name}=is.null", headers=_COUNT)
            for name in ("owner", "parent", "replies", "remarks", "labels")
        ],
    }


def _headers(of: Subject) -> dict[str, Sequence[Ask]]:
    one = {"title": "x", "rank": 1}
    counts = [{"Prefer": f"count={count}"} for count in ("exact", "planned", "estimated")]
    return {
        "prefer:count": [Ask("papers", headers=count) for count in counts],
        "prefer:return_": [
            Ask("papers", "POST", one, {"Prefer": f"tx=rollback, return={what}"})
            for what in ("representation", "minimal", "headers-only")
        ],
        "prefer:resolution": [
            Ask(
                "papers?on_conflict=code",
                "POST",
                {**one, "code": "n"},
                {"Prefer": f"tx=rollback, resolution={how}"},
            )
            for how in ("merge-duplicates", "ignore-duplicates")
        ],
        "prefer:missing": [
            Ask("papers", "POST", one, {"Prefer": f"tx=rollback, missing={how}"})
            for how in ("default", "null")
        ],
        "prefer:max_affected": [
            Ask("papers?rank=gt.2", "PATCH", one, {"Prefer": f"tx=rollback, max-affected={n}"})
            for n in (0, 1)
        ],
        "prefer:tx": [Ask("papers", "POST", [one, {"title": 1}], _DRY)],
        "prefer:respond_async": [
            Ask("papers?rank=gt.2", "PATCH", {"title": 1}, {"Prefer": "respond-async"})
        ],
        "prefer:handling": [
            Ask("papers?nope=eq.1", headers={"Prefer": f"handling={how}"})
            for how in ("strict", "lenient")
        ],
        "header:If-None-Match": [
            Ask(path, headers={"If-None-Match": tag})
            for path in ("papers/10", "papers/11", "papers/12", "papers?limit=9")
            for tag in ("*", '"x"')
        ],
        "header:If-Match": [
            Ask(path, method, {"rank": 1} if method == "PATCH" else None, {"If-Match": tag, **_DRY})
            for path in ("papers/11", "papers/12")
            for method in ("PATCH", "DELETE")
            for tag in ("*", '"x"')
        ],
        "header:Idempotency-Key": [
            Ask("papers", "POST", one, {"Idempotency-Key": "k", **_DRY}),
            Ask("papers/11", "PATCH", {"rank": 5}, {"Idempotency-Key": "k2", **_DRY}),
        ],
        "header:Accept": [Ask("papers", headers={"Accept": "text/html"}), Ask("papers/11")],
        "header:Prefer": [Ask("papers", headers={"Prefer": "count=exact, nope=1"})],
        "header:Content-Type": [Ask("papers/11", "PATCH", None, {"Content-Type": "text/plain"})],
    }


def _others(of: Subject) -> dict[str, Sequence[Ask]]:
    near = [f"{of.text}x", of.text[:-1], of.number + "s", "HIDDEN", "audits", "papr"]
    return {
        "index": [Ask("")],
        "not found": [Ask("papers/11"), Ask("papers/12"), Ask("papers/11,1"), Ask("people/7")],
        "not allowed": [
            Ask("audits"),
            Ask("audits/1"),
            Ask("audits/2"),
            Ask("papers?select=audits(text)"),
            Ask("audits", "POST", {"text": "x", "paper_id": 10}, _DRY),
        ],
        "links": [
            Ask("paper_labels", headers=_COUNT),
            Ask("paper_labels/10,3"),
            Ask("labels?name=like.*"),
        ],
        "other tables": [Ask("people", headers=_COUNT), Ask("remarks", headers=_COUNT)],
        "export": [
            Ask(f"{path}", headers={"Accept": media})
            for media in EXPORTS
            for path in (
                "papers",
                f"papers?{of.text}=like.HIDDEN*",
                f"papers?order={of.number}&offset=1",
                "papers?select=id,remarks(*),labels(name),...owner(name)",
                f"papers?select={of.number}.sum()",
                "people?select=id,papers(*)",
                "remarks",
            )
        ],
        "hints": [
            *(Ask(f"papers?select={name}") for name in near),
            *(Ask(f"papers?{name}=eq.1") for name in near),
            *(Ask(f"papers?order={name}") for name in near),
            *(Ask(f"papers?select=id,{name}(id)") for name in near),
            *(Ask("papers", "POST", {"title": "x", name: 1}, _DRY) for name in near),
        ],
        "required": [Ask("papers", "POST", {}, _DRY), Ask("papers", "POST", [{}, {}], _DRY)],
        "validation": [
            Ask("papers", "POST", {"title": 5, of.number: "x", of.text: 7}, _DRY),
            Ask("papers/11", "PATCH", {"rank": "x"}, _DRY),
            Ask("papers/10", "PATCH", {of.number: "x"}, _DRY),
        ],
        "foreign key": [
            Ask("papers", "POST", {"title": "x", "parent_id": 12}, _DRY),
            Ask("papers/14", "PATCH", {"parent_id": 12}, _DRY),
            Ask("papers", "POST", {"title": "x", "parent": {"id": 12}}, _DRY),
            Ask("papers", "POST", {"title": "x", "remarks": [{"id": 3}]}, _DRY),
            Ask("remarks", "POST", {"text": "x", "paper_id": 12}, _DRY),
            Ask("paper_labels", "POST", {"paper_id": 12, "label_id": 1}, _DRY),
        ],
        "nested": [
            Ask("papers/13", "PATCH", {"remarks": [{"id": 9, "text": "mine"}]}, _DRY),
            Ask("papers/13?select=remarks(id)", "PATCH", {"remarks": []}, _DRY),
            Ask("papers/13?select=labels(id)", "PATCH", {"labels": [{"id": 1}]}, _DRY),
            Ask("papers/13", "PATCH", {"labels": [{"id": 2}]}, _DRY),
        ],
        "bulk": [
            Ask(f"papers?{of.text}=like.HIDDEN*", "PATCH", {"rank": 9}, _DRY),
            Ask("papers?id=gt.0", "PATCH", {"rank": 1}, _DRY),
            Ask("papers?id=in.(11,12,14)", "PATCH", {"rank": 1}, _DRY),
            Ask("papers?id=in.(11,12)", "DELETE", None, _DRY),
            Ask(
                "remarks?id=gt.1", "DELETE", None, {"Prefer": "tx=rollback, return=representation"}
            ),
        ],
        "location": [
            Ask("papers", "POST", {"title": "x"}, _DRY),
            Ask("papers/11", "PUT", {"title": "x", "owner_id": 1}, _DRY),
        ],
        "conflict": [
            # That a unique value is taken can't be kept back: only whose it is, and what else.
            Ask("papers", "POST", {"title": "x", "code": f"{HIDDEN}-code"}, _DRY),
            Ask("papers?on_conflict=code", "POST", {"title": "x", "code": f"{HIDDEN}-code"}, _DRY),
            Ask("papers/14", "PATCH", {"code": f"{HIDDEN}-code"}, _DRY),
            Ask("labels", "POST", {"name": f"{HIDDEN}-label"}, _DRY),
        ],
        "conflict of fields": [
            Ask("papers", "POST", {"title": "x", "memo": f"{HIDDEN}-memo yeast"}, _DRY),
            Ask("papers?on_conflict=memo", "POST", {"title": "x", "memo": "z"}, _DRY),
        ],
    }
