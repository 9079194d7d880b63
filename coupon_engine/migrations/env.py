"""Alembic's way in. `coupon_engine.migrating` hands over an open connection."""

from alembic import context

from coupon_engine.tables import Row

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Row.metadata,
    compare_type=True,
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()
