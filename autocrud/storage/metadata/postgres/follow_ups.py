"""The follow-ups of one model's deletes in PostgreSQL, until they are settled."""

from collections.abc import Callable

_TEXT = 'text COLLATE "C"'


class PostgresFollowUps:
    """The statements for one model.

    Args:
        named: makes of a short name the table's, quoted and with its schema.
    """

    def __init__(self, named: Callable[[str], str]) -> None:
        self.table = named("pending")
        columns = f"resource_id {_TEXT}, time {_TEXT}, by text, PRIMARY KEY (resource_id, time)"
        self.create = f"CREATE TABLE IF NOT EXISTS {self.table} ({columns})"
        self.insert = (
            f"INSERT INTO {self.table} (resource_id, time, by)"
            " SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) ON CONFLICT DO NOTHING"
        )
        self.pending_deletions = (
            f"SELECT resource_id, time, by FROM {self.table} WHERE (resource_id, time) > ($1, $2)"
            " ORDER BY resource_id, time LIMIT $3"
        )
        self.complete = (
            f"DELETE FROM {self.table} p USING unnest($1::text[], $2::text[]) AS done (resource_id, time)"
            " WHERE p.resource_id = done.resource_id AND p.time = done.time"
        )
