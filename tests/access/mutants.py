"""Access rules taken out one at a time, each of which a test has to notice.

    python -m tests.access.mutants           # runs every mutant, nearly all on SQLite
    python -m tests.access.mutants 3 14      # just these

A mutant is a place in src/, what stands there, and what would stand there if somebody had
forgotten the policy. ``killer`` names the tests that are run against it; they are in
test_reads.py and test_writes.py. What of src/ asks a policy and is in no mutant is found by
``unlisted``, so that a new place needs a mutant, or a reason in ``EXEMPT``.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import flask.testing  # noqa: F401
import jwt  # noqa: F401
import psycopg  # noqa: F401
import pytest
import sqlalchemy.dialects.sqlite
import sqlalchemy.orm  # noqa: F401

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"


@dataclass(frozen=True)
class Mutant:
    """``old`` is once in the file; ``killer`` is pytest's ``-k``."""

    file: str
    old: str
    new: str
    killer: str


MUTANTS = (
    # Rules and decisions
    Mutant("access/access.py", "True if policy is None else policy.rule(action)", "True",
           "list_has_the_rows"),
    Mutant("access/access.py", "f.readable and self._holds(rules, f.name)", "f.readable",
           "answer_to_a_write_is"),
    Mutant("access/access.py", "any(f.column in columns for f in fields if"
           " self.hides_field(resource, f))", "False", "relation_by_an_unreadable_column"),
    Mutant("access/access.py", "return field.readable and field not in self.readable(resource)",
           "return False", "relation_by_an_unreadable_column"),
    Mutant("access/access.py", "f.writable and f.name not in filled and", "f.writable and",
           "policy_fills_in"),
    Mutant("access/access.py", "f.name not in filled and self._holds(rules, f.name)",
           "f.name not in filled", "fields_are_written"),
    Mutant("access/access.py", "policy is None or self._holds(policy.write_fields, name)", "True",
           "relation_is_written"),
    Mutant("access/access.py", "if self.rows(resource, action) is False:", "if False:",
           "no_row_is_refused"),
    Mutant("access/access.py", "if self.who.is_anonymous:", "if False:", "no_row_is_refused"),
    Mutant("access/access.py", "if isinstance(value, Nobody):", "if False:",
           "policy_fills_in"),
    Mutant("access/access.py", "return field in self.readable(resource) or any(",
           "return True or any(", "conflict_is_told"),
    Mutant("access/policy.py", "return not who.is_anonymous", "return True", "signed_in_is_nobody"),
    Mutant("access/condition.py", "if who.is_anonymous:", "if False:", "compared_by_is"),
    # Reads
    Mutant("plan/context.py", 'self._access_to(resource).require(resource, "read")', "pass",
           "nobody_may_read"),
    Mutant("plan/context.py", "if isinstance(decision, Condition):", "if False:",
           "list_has_the_rows"),
    Mutant("plan/context.py", "field is None or not (self.trusted or field in"
           " self.readable(resource))", "field is None", "unreadable_field_is"),
    Mutant("plan/context.py", "known = [f.name for f in self.readable(resource)]",
           "known = list(resource.fields)", "near_name"),
    Mutant("plan/context.py", "return self.trusted or field in self.readable(resource)",
           "return True", "a_search_is"),
    Mutant("plan/context.py", "if self.reaches(resource, relation)", "if True", "nobody_may_read"),
    Mutant("plan/context.py", 'if any(self._access_to(other).rows(other, "read") is False for'
           " other in others):", "if False:", "nobody_may_read"),
    Mutant("plan/context.py", "hidden = any(self._access_to(r).hides(r, relation.columns)"
           " for r in ends)", "hidden = False", "relation_by_an_unreadable_column"),
    Mutant("plan/context.py", "if self.trusted else self.readable(resource)\n\n    def slot",
           "if True else ()\n\n    def slot", "version_says_nothing"),
    Mutant("plan/filters.py", " if context.may_search(resource, f)", "", "a_search_is"),
    Mutant("plan/order.py", "return tuple(t for t in terms if _is_known(context, resource,"
           " t.relation, t.ref.name))", "return terms", "own_order"),
    Mutant("plan/read.py", "count is not None and any(allowed.form is not None for allowed in"
           " context.allowed)", "False", "counts_and_aggregates and postgresql"),
    Mutant("plan/read.py", "values[first : first + len(condition.values)] ="
           " condition.values", "pass", "list_has_the_rows"),
    Mutant("plan/kept.py", '(form(access.rows(r, "read")), access.readable(r))',
           '(form(access.rows(r, "read")), ())', "actors_share"),
    Mutant("plan/kept.py", '(form(access.rows(r, "read")), access.readable(r))',
           "(True, access.readable(r))", "list_has_the_rows"),
    Mutant("plan/kept.py", "            if asked != known:", "            if False:",
           "actors_share"),
    Mutant("sql/expressions.py", "return target, target, self.limited(resource, target,"
           " condition)", "return target, target, condition", "embeds_show"),
    Mutant("sql/expressions.py", "condition = self.limited(through, link, condition)", "pass",
           "embeds_show"),
    Mutant("sql/expressions.py", "return target, both, self.limited(resource, target, condition)",
           "return target, both, condition", "embeds_show"),
    Mutant("sql/expressions.py", "if allowed.form is not None:", "if False:", "list_has_the_rows"),
    Mutant("sql/read.py", "return self.expressions.limited(node.resource, source,"
           " sa.and_(sa.true(), *parts))", "return sa.and_(sa.true(), *parts)",
           "list_has_the_rows"),
    Mutant("sql/view.py", "return select.where(builder.expressions.limited(node.resource, source,"
           " None))", "return select", "view_of_ones_own"),
    Mutant("pipeline.py", ' if access.rows(r, "read") is not False', "", "nobody_may_read"),
    # Jobs
    Mutant("jobs/writes.py", "if who.is_anonymous and access.rows(find_resource(api, request),"
           " action) is not True:", "if False:", "strangers_queue"),
    Mutant("jobs/queue.py", "return not who.is_anonymous and str(actor.id) == str(who.id)",
           "return True", "jobs_are_shown"),
    # Writes
    Mutant("plan/write.py", "    _require(context.access, resource, action)\n", "",
           "no_row_is_refused"),
    Mutant("plan/unique.py", "field is None or field not in readable", "field is None",
           "upsert_matches_by"),
    Mutant("plan/unique.py", "        if all(resource.fields[name] in readable"
           " for name in names_)\n", "", "upsert_matches_by"),
    Mutant("plan/links.py", "[r for r in exposed if context.reaches(resource, r)]", "exposed",
           "nested_in_what"),
    Mutant("plan/rows.py", "if not all(f in writable for f in own) or not"
           " self._access.writes_relation(", "if not self._access.writes_relation(",
           "fields_are_written"),
    Mutant("plan/rows.py", 'self._require_child(target, place, filled, "create")\n'
           "            return"
           " self._row(target, value, place, \"create\", filled=filled.theirs, depth=depth)\n"
           "        key:", 'return self._row(target, value, place, "create", filled=filled.theirs,'
           " depth=depth)\n        key:", "nesting_sets_no"),
    Mutant("plan/rows.py", 'self._require_child(target, place, filled, "update")', "pass",
           "nesting_sets_no"),
    Mutant("plan/rows.py", "created if mode == \"create\" else created & self._access.writable("
           'resource, "update")', "created", "upsert_writes_what"),
    Mutant("plan/rows.py", "known is not None and known in self._access.readable(resource)",
           "known is not None", "unreadable_name_in_a_body"),
    Mutant("sql/write.py", "where(expressions.limited(resource, source, condition))",
           "where(condition if condition is not None else sa.true())", "reaches_only_rows"),
    Mutant("sql/write.py", "condition = builder.expressions.limited(resource, source,"
           " _one_of(columns, keys))", "condition = _one_of(columns, keys)", "array_answers"),
    Mutant("sql/write.py", "where(_one_of(own, values), allowed)", "where(_one_of(own, values))",
           "changed_by_whom"),
    Mutant("execute/guard.py", "if len(found) < len({compared(key) for key in keys}):",
           "if False:", "changed_by_whom"),
    Mutant("execute/guard.py", "if compared(key) not in known:", "if False:",
           "foreign_key_to_an_unreadable"),
    Mutant("execute/objects.py", 'readable = self._guard.within("read", resource, [*keys])',
           "readable = loaded.keys()", "foreign_key_to_an_unreadable"),
    Mutant("execute/objects.py", "        self._guard.require_rest_of_references(self._plan,"
           " self._changed)\n", "", "changed_in_part"),
    Mutant("execute/objects.py", "            self._guard.require(action, resource, instances)\n"
           "        self._guard.require_rest", "            pass\n        self._guard.require_rest",
           "after_the_change_too"),
    Mutant("execute/link_rows.py", 'self._guard.require_rows("create", through, columns, keys)',
           "pass", "signed_in_is_nobody"),
    Mutant("execute/objects.py", "        self._links.require_made()\n", "",
           "signed_in_is_nobody"),
    Mutant("execute/link_rows.py", 'self._guard.require_rows("delete", through, columns, keys)',
           "pass", "links_are_rows"),
    Mutant("execute/objects.py", "        self._guard.require(action, resource, instances)\n"
           '        if action == "update":', '        if action == "update":', "deleted_by_whom"),
    Mutant("execute/objects.py", "self._written += [(action, resource, instance) for instance in"
           " instances]", "pass", "after_the_change_too"),
    Mutant("execute/objects.py", '{**row.values, **self._plan.access.values(row.resource,'
           ' "create")}', "{**row.values}", "policy_fills_in"),
    Mutant("execute/objects.py", 'filled = self._plan.access.values(row.resource, "update")',
           "filled: dict[str, Any] = {}", "fills_in_at_an_update"),
    Mutant("execute/objects.py", "if field in writable and left_out and not",
           "if left_out and not", "put_leaves_alone"),
    Mutant("execute/objects.py", 'readable = self._guard.within("read", target, keys)\n',
           "readable = {compared(key) for key in keys}\n", "stay_and_are_not_told"),
    Mutant("execute/objects.py", "        readable &= {compared(key_of(target, child)) for child in"
           " tied}\n", "", "stay_and_are_not_told"),
    Mutant("execute/objects.py", "if unseen and not related.relation.many:", "if False:",
           "single_unreadable"),
    Mutant("execute/objects.py", 'self.before("update", target, [m for m in added if'
           " sa.inspect(m).has_identity])", "pass", "nested_rows_are_held"),
    Mutant("execute/objects.py", "            self._require_writable(target, related)\n",
           "            pass\n", "leaving_out"),
    Mutant("execute/objects.py", 'self.before("delete" if orphaned else "update", target, left)',
           "pass", "nested_rows_are_held"),
    Mutant("execute/objects.py", 'self.before("update", child.resource, [found])', "pass",
           "nested_rows_are_held"),
    Mutant("execute/objects.py", 'self._written.append(("create", row.resource, instance))', "pass",
           "create_rule"),
    Mutant("execute/upsert.py", "        self._require_seen(existing)\n", "",
           "upsert_changes_and"),
    Mutant("execute/upsert.py", 'self._objects.before("update", self._plan.resource,'
           " list(existing.values()))", "pass", "upsert_changes_and"),
    Mutant("execute/write.py", "        self._guard.require_references(self._plan)\n", "",
           "foreign_key_to_an_unreadable"),
    Mutant("execute/write.py", 'self._objects.before("update", self._plan.resource, instances)',
           "pass", "changed_by_whom"),
    Mutant("execute/write.py", 'self._objects.before("delete", self._plan.resource, instances)',
           "pass", "deleted_by_whom"),
    Mutant("execute/conflicts.py", " if plan.access.visible(resource, field)]", "]",
           "conflict_is_told"),
    # What else asks a policy on the way
    Mutant("plan/context.py", "return self.access.readable(resource)",
           "return tuple(resource.fields.values())", "unreadable_field_is"),
    Mutant("plan/context.py", 'decision = self.access.rows(resource, "read")', "decision = True",
           "list_has_the_rows"),
    Mutant("plan/context.py", "        self.allow(target)\n", "", "embeds_show"),
    Mutant("plan/context.py", "self.allow(self.schema.resources[meant[0].through])", "pass",
           "embeds_show"),
    Mutant("plan/order.py", "field is None or context.trusted or field in"
           " context.readable(resource)", "True", "own_order"),
    Mutant("plan/read.py", "    context.allow(resource)\n    _refuse_on_conflict",
           "    _refuse_on_conflict", "list_has_the_rows"),
    Mutant("plan/read.py", "    context.allow(resource)\n    for name, given",
           "    for name, given", "item_that_may_not"),
    Mutant("plan/export.py", "    context.allow(resource)\n", "", "export_has_the_rows"),
    Mutant("sql/export.py", "query = query.where(self._where(node, source, None))",
           "pass", "export_has_the_rows"),
    Mutant("plan/node.py", "for f in context.readable(resource)]",
           "for f in resource.fields.values()]", "actors_share"),
    Mutant("plan/rows.py", 'created = self._access.writable(resource, "create")',
           "created = frozenset(resource.fields.values())", "fields_are_written"),
    Mutant("plan/rows.py", 'return self._access.writable(resource, "update")',
           "return frozenset(resource.fields.values())", "fields_are_written"),
    Mutant("plan/rows.py", "if field_ not in self._access.writable(target, action):", "if False:",
           "nesting_sets_no"),
    Mutant("plan/unique.py", "readable = access.readable(resource)",
           "readable = tuple(resource.fields.values())", "upsert_matches_by"),
    Mutant("plan/view.py", "    context.allow(resource)\n", "", "view_of_ones_own"),
    Mutant("plan/write.py", 'if request.method != "POST" or context.access.rows(resource, "read")'
           " is not False:", "if True:", "answer_to_a_write_is"),
    Mutant("plan/write.py", "        context.allow(resource)\n        node", "        node",
           "answer_to_a_write_is"),
    Mutant("plan/write.py", 'if action in ("upsert", "replace") and access.rows(resource,'
           ' "create") is not False:', 'if action in ("upsert", "replace"):',
           "no_row_is_refused"),
    Mutant("plan/write.py", '        access.values(resource, "create")\n', "        pass\n",
           "policy_fills_in"),
    Mutant("plan/write.py", 'access.require(resource, asked.get(action, "update"))', "pass",
           "no_row_is_refused"),
    Mutant("plan/write.py", 'creatable = context.access.writable(resource, "create")',
           "creatable = frozenset(resource.fields.values())", "put_leaves_alone"),
    Mutant("sql/expressions.py", "parts.append(policy_condition(resource, allowed.form, binds,"
           " source))", "pass", "list_has_the_rows"),
    Mutant("execute/guard.py", "return None if target is None or self._access.rows(target,"
           ' "read") is True else target', "return None", "foreign_key_to_an_unreadable"),
    Mutant("execute/guard.py", "decision = self._access.rows(resource, action)", "decision = True",
           "changed_by_whom"),
    Mutant("execute/objects.py", 'writable = self._plan.access.writable(row.resource, "update")',
           "writable = frozenset(row.resource.fields.values())", "put_leaves_alone"),
    Mutant("execute/link_rows.py", 'known = self._guard.rows_within("read", through, columns,'
           " keys)", "known = {compared(key) for key in keys}", "stay_and_are_not_told"),
    # New rows that need no objects
    Mutant("plan/imports.py", '    context.access.require(resource, "create")\n', "",
           "new_rows_are_for_whom"),
    Mutant("sql/insert.py", "fulfilled = builder.expressions.limited(insert.resource, new, None)",
           "pass", "postgresql and new_rows_that_may_not"),
    Mutant("sql/insert.py", "fulfilled = sa.and_(fulfilled, policy_condition(insert.resource,"
           " insert.form, binds, new))", "pass", "postgresql and new_rows_fulfil"),
    Mutant("execute/insert.py", 'filled = plan.access.values(resource, "create")', "filled = {}",
           "postgresql and new_rows_are_filled"),
    Mutant("execute/insert.py", 'rule = plan.access.rows(resource, "create")', "rule = True",
           "postgresql and new_rows_fulfil"),
    Mutant("execute/plain.py", 'return any(plan.access.rows(target, "read") is not True for target'
           " in targets)", "return False", "postgresql and new_rows_refer"),
    Mutant("execute/plain.py", "decision = plan.access.rows(plan.resource, action)",
           "decision = True", "postgresql and new_rows_are_held"),
    Mutant("execute/imports.py", 'elif plan.access.rows(plan.resource, "create") is True:',
           "else:", "new_rows_fulfil"),
    Mutant("execute/imports.py", 'filled = plan.access.values(plan.resource, "create")',
           "filled = {}", "new_rows_are_filled"),
    # Histories
    Mutant("plan/history.py", "    context.allow(resource)\n", "", "history_is_for_whoever"),
    Mutant("plan/history.py", 'return context.access.rows(resource, "read") is True',
           "return True", "deleted_rows_history"),
    Mutant("plan/history.py", "for field in context.readable(resource))",
           "for field in resource.fields.values())", "kept_from_a_reader"),
    Mutant("plan/history.py", "if context.reaches(resource, relation) and all(_reads_all(context,"
           " r) for r in ends):", "if True:", "links_are_told"),
    Mutant("sql/history.py", "row.where(self.expressions.limited(resource, source, where))",
           "row.where(where)", "history_is_for_whoever"),
    Mutant("execute/objects.py", 'writable = self._plan.access.writable(target, "update")',
           "writable = frozenset(target.fields.values())", "leaving_out"),
    Mutant("execute/upsert.py", 'readable = self._guard.within("read", resource, keys.values())',
           "readable = {compared(key) for key in keys.values()}", "upsert_changes_and"),
)  # fmt: skip
EXEMPT = {
    'plan/imports.py: context.access.values(resource, "create")':
        "the same refusal would come with the first row; here it comes before it",
    'plan/imports.py: self._writable = context.access.writable(plan.resource, "create")':
        "it chooses what is said of a header: each row is read by what may be written",
    'execute/imports.py: is_ruled = plan.access.rows(plan.resource, "create") is not True':
        "it is about triggers, which change what the rule is held against",
    "jobs/queue.py: id_ = None if actor.is_anonymous else actor.id":
        "it names who asked, and decides nothing",
    "execute/guard.py: if self._access.rows(resource, action) is True:":
        "it spares a question whose answer is known",
    'plan/write.py: if action in ("create", "upsert") and access.rows(resource, "create") is not'
    ' False:': "the mutant is what it leads to",
    'execute/upsert.py: filled = access.values(resource, "create")':
        "it fills nothing in: it chooses what is said of a key that is given",
    'execute/upsert.py: settable = field in access.writable(resource, "create")':
        "it chooses what is said: a field that can't be written is refused with the row, too",
    'execute/history.py: "actor": None if actor.is_anonymous else str(actor.id),':
        "it names who wrote, and decides nothing",
    'execute/row_security.py: return "" if who.is_anonymous else str(who.id),'
    ' json.dumps(sorted(who.roles))':
        "it tells the database who asks; test_row_security.py holds what the database decides",
    'access/access.py: field in self.writable(resource, action) for action in ("create",'
    ' "update")': "the line before has the mutant of the whole expression",
    'plan/read.py: condition = access.rows(limit.resource, "read")':
        "the mutant is where its values are used",
    "plan/read.py: return value.field in context.readable(resource)":
        "a policy hides no key, and other terms of an order may be read, or it has none",
    'plan/rows.py: if all(f in self._access.writable(target, "create") for f in target.key):':
        "it chooses what is said: a key that can't be written is refused with the row, too",
    "plan/write.py: if who.is_anonymous:": "nobody's scope is a digest as well without it",
    "sql/write.py: allowed = policy_condition(resource, condition.form, binds, source)":
        "the mutant is where it is used",
    'execute/write.py: if self._plan.access.rows(self._plan.resource, "read") is True:':
        "it chooses what is said of a row that isn't found any more",
}  # fmt: skip
"""Places without a mutant, and why."""
_SITE = re.compile(
    r"access\.(rows|readable|writable|visible|require|values|hides|writes_relation)\("
    r"|_access_to\(|\.allow\(|\.limited\(|_guard\.|self\.before\(|objects\.before\("
    r"|may_search\(|\.reaches\(|policy_condition\(|is_anonymous|_require_(child|seen|writable)\("
    r"|(context|self)\.(readable|writable|rows)\("
)
_PARTS = ("access", "plan", "sql", "execute", "jobs", "pipeline.py")
_TESTS = ("test_reads.py", "test_writes.py", "test_references.py", "test_doors.py",
          "test_history.py", "test_new_rows.py")  # fmt: skip


def unlisted() -> Iterator[str]:
    """Lines of src/ that ask a policy and are neither in a mutant nor exempt."""
    for part in _PARTS:
        path = SOURCE / "carboy" / part
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            name = file.relative_to(SOURCE / "carboy").as_posix()
            known = [m.old for m in MUTANTS if m.file == name]
            for line in file.read_text().splitlines():
                stripped = line.strip()
                if not _SITE.search(stripped) or stripped.startswith(("def ", "#", '"""')):
                    continue
                site = f"{name}: {stripped}"
                if site not in EXEMPT and not any(_touches(old, stripped) for old in known):
                    yield site


def _touches(old: str, line: str) -> bool:
    return any(part.strip() and part.strip() in line for part in old.splitlines()) or line in old


def survives(mutant: Mutant) -> bool:
    """Whether no test notices the mutant."""
    with tempfile.TemporaryDirectory() as folder:
        # With its times and its compiled modules, of which just the mutant's is made anew.
        shutil.copytree(SOURCE, f"{folder}/src")
        file = Path(folder, "src", "carboy", mutant.file)
        text = file.read_text()
        assert text.count(mutant.old) == 1, f"{mutant.file}: {mutant.old!r} isn't there once"
        file.write_text(text.replace(mutant.old, mutant.new))
        child = os.fork()
        if child == 0:
            # What takes long to import is there already; carboy isn't.
            os._exit(_tests(f"{folder}/src", mutant.killer))
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
    # 1 is a failed test; anything else that isn't 0 is no proof of anything.
    assert code in (0, 1), f"{mutant}: pytest ended with {code}"
    return code == 0


def _tests(source: str, killer: str) -> int:
    """Run tests over other sources, in a process of their own that says nothing."""
    sys.path.insert(0, source)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    database = "" if "postgresql" in killer else " and not postgresql and not mariadb"
    files = [f"{ROOT}/tests/access/{name}" for name in _TESTS]
    options = ["-x", "-q", "-p", "no:cacheprovider", "--assert=plain", "--rootdir", str(ROOT), "-k"]
    code = int(pytest.main([*files, *options, killer + database]))
    imported = sys.modules["carboy"].__file__
    return code if imported is not None and imported.startswith(source) else 70


def main(numbers: Sequence[int]) -> int:
    """Run mutants, and say which survive; the exit status counts them."""
    chosen = [MUTANTS[number] for number in numbers] if numbers else list(MUTANTS)
    survived = [mutant for mutant in chosen if survives(mutant)]
    for mutant in survived:
        print(f"survived: {MUTANTS.index(mutant)} {mutant.file}: {mutant.old!r}")  # noqa: T201
    print(f"{len(chosen)} mutants, {len(chosen) - len(survived)} killed")  # noqa: T201
    return len(survived)


if __name__ == "__main__":
    sys.exit(main([int(number) for number in sys.argv[1:]]))
