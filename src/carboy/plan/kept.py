"""The plans of reads that were made before, for most requests have been."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TypeAlias

from ..access import Access, form
from ..schema import Field, Resource
from .context import Context
from .read import PlannedRead

Shape: TypeAlias = tuple[object, ...]
_Decided: TypeAlias = tuple[tuple[object, tuple[Field, ...]], ...]


class KeptPlans:
    """Plans by a request's shape and by what the policies of the resources in it decide.

    Actors for whom they decide alike share a plan; only the conditions' values differ.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._resources: OrderedDict[Shape, tuple[Resource, ...]] = OrderedDict()
        self._plans: dict[Shape, dict[_Decided, PlannedRead]] = {}
        self._lock = threading.Lock()

    def find(self, shape: Shape, access: Access) -> PlannedRead | None:
        """The kept plan for a shape, if there is one for this actor or their like."""
        resources = self._resources.get(shape)
        if resources is None:
            return None
        return self._plans.get(shape, {}).get(_decided(resources, access))

    def keep(self, shape: Shape, context: Context, planned: PlannedRead) -> None:
        """Keep a plan; the oldest shape is dropped where there are too many."""
        with self._lock:
            known = self._resources.get(shape, ())
            asked = tuple(dict.fromkeys((*known, *context.asked)))
            if asked != known:
                # What was kept was told apart by fewer decisions.
                self._plans[shape] = {}
            plans = self._plans[shape]
            if len(plans) >= self._size:
                plans.clear()
            plans[_decided(asked, context.access)] = planned
            self._resources[shape] = asked
            self._resources.move_to_end(shape)
            if len(self._resources) > self._size:
                dropped, _ = self._resources.popitem(last=False)
                del self._plans[dropped]


def _decided(resources: tuple[Resource, ...], access: Access) -> _Decided:
    return tuple((form(access.rows(r, "read")), access.readable(r)) for r in resources)
