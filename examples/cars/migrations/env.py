"""How the migrations are run: on the application's own engine, with Flask-Migrate's options."""

from __future__ import annotations

from logging.config import fileConfig

from alembic import context
from flask import current_app

known = current_app.extensions["migrate"]
engine = known.db.engine
options = {"target_metadata": known.db.metadata, **known.configure_args}

if context.config.config_file_name is not None:
    fileConfig(context.config.config_file_name, disable_existing_loggers=False)

if context.is_offline_mode():
    url = engine.url.render_as_string(hide_password=False)
    context.configure(url=url, literal_binds=True, **options)
    with context.begin_transaction():
        context.run_migrations()
else:
    with engine.connect() as connection:
        context.configure(connection=connection, **options)
        with context.begin_transaction():
            context.run_migrations()
