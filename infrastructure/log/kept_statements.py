"""The statements on what is kept beside the log: answers under their keys, and calls of webhooks to be made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sqlalchemy import bindparam, delete, func, literal_column, null, select, update

from .rows import ANSWER_COLUMNS, DELIVERY_COLUMNS
from .tables import answers, deliveries

if TYPE_CHECKING:
    from sqlalchemy import ClauseElement, Table


class Dialect(Protocol):
    """What makes statements into texts: `statements.Statements`."""

    def prepare(self, statement: ClauseElement, *names: str) -> str:
        """Return the statement's text, whose parameters go in the order of `names`."""
        ...

    def insert_into(self, table: Table, *names: str) -> str:
        """Return an insert of these columns."""
        ...

    def upsert_into(self, table: Table, *names: str) -> str:
        """Return an insert of these columns that replaces them in a row that is there already."""
        ...


class KeptStatements:
    """Parameters go by place, in the order that `prepare` is told."""

    def __init__(self, statements: Dialect) -> None:
        prepare = statements.prepare
        by_key = (answers.c.scope == bindparam("scope"), answers.c.key == bindparam("key_"))
        self.upsert_answer = statements.upsert_into(answers, *ANSWER_COLUMNS)
        self.select_answer = prepare(
            select(*(answers.c[name] for name in ANSWER_COLUMNS)).where(*by_key), "scope", "key_"
        )
        self.answer_expiry = prepare(select(answers.c.expires_at).where(*by_key), "scope", "key_")
        expired = answers.c.expires_at <= bindparam("now")
        self.count_expired = prepare(
            select(func.count()).select_from(answers).where(expired), "now"
        )
        self.delete_expired = prepare(delete(answers).where(expired), "now")

        columns = [deliveries.c[name] for name in DELIVERY_COLUMNS]
        by_id = deliveries.c.delivery_id == bindparam("by_id")
        self.insert_delivery = statements.insert_into(deliveries, *DELIVERY_COLUMNS)
        self.list_deliveries = prepare(
            select(*columns)
            .order_by(deliveries.c.created_at, deliveries.c.delivery_id)
            .limit(bindparam("limit"))
            .offset(bindparam("offset")),
            "limit",
            "offset",
        )
        self.list_due = prepare(
            select(*columns)
            .where(deliveries.c.due_at <= bindparam("now"))
            .order_by(deliveries.c.due_at, deliveries.c.delivery_id)
            .limit(bindparam("limit"))
            .offset(bindparam("offset")),
            "now",
            "limit",
            "offset",
        )
        self.claim_delivery = prepare(
            update(deliveries)
            .values(due_at=bindparam("until"), tries=deliveries.c.tries + literal_column("1"))
            .where(by_id),
            "until",
            "by_id",
        )
        self.settle_delivery = prepare(
            update(deliveries)
            .values(due_at=bindparam("again_at"), error=bindparam("told"))
            .where(by_id),
            "again_at",
            "told",
            "by_id",
        )
        self.bury_delivery = prepare(
            update(deliveries)
            .values(body=bindparam("nothing"), due_at=null(), error=bindparam("told"))
            .where(by_id),
            "nothing",
            "told",
            "by_id",
        )
        self.delete_delivery = prepare(delete(deliveries).where(by_id), "by_id")
