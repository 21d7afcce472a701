"""Alembic's entry: migrate on the connection that `migrate.upgrade` hands over."""

from alembic import context

from imageward_server.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
