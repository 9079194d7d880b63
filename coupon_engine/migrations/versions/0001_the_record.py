"""The record: operators, campaigns, coupons, their uses, and what happened."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


# What happened, happened: no code, no person with the application's rights rewrites it.
APPEND_ONLY = """
    CREATE FUNCTION event_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'events are append-only' USING ERRCODE = 'integrity_constraint_violation';
    END $$;
    CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON event
        FOR EACH ROW EXECUTE FUNCTION event_is_append_only();
    CREATE TRIGGER append_only_whole BEFORE TRUNCATE ON event
        FOR EACH STATEMENT EXECUTE FUNCTION event_is_append_only();
"""


def upgrade() -> None:
    op.create_table(
        "answer",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("verb", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("is_refusal", sa.Boolean(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("operator_id", "id", name=op.f("pk_answer")),
    )
    op.create_table(
        "event",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "data", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False
        ),
        sa.Column(
            "actor",
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            server_default=sa.text(
                "(NULLIF(current_setting('app.actor'::text, true), ''::text))::jsonb"
            ),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("operator_id", "id", name=op.f("pk_event")),
    )
    op.create_index(
        "ix_event_recorded", "event", ["operator_id", "recorded_at", "id"], unique=False
    )
    op.create_index("ix_event_subject", "event", ["operator_id", "subject_id", "id"], unique=False)
    op.create_table(
        "operator",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("is_platform", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("sandbox_of", sa.Uuid(), nullable=True),
        sa.Column(
            "clock_ahead_seconds", sa.BigInteger(), server_default=sa.text("0"), nullable=False
        ),
        sa.Column(
            "approval_over_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False
        ),
        sa.Column(
            "most_disputed_bp", sa.SmallInteger(), server_default=sa.text("300"), nullable=False
        ),
        sa.Column(
            "oidc", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "most_disputed_bp BETWEEN 0 AND 10000", name=op.f("ck_operator_most_disputed_bp")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operator")),
        sa.UniqueConstraint("slug", name=op.f("uq_operator_slug")),
    )
    op.create_table(
        "outbox",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column(
            "body", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False
        ),
        sa.Column("attempts", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("operator_id", "id", name=op.f("pk_outbox")),
    )
    op.create_index("ix_outbox_due", "outbox", ["due_at"], unique=False)
    op.create_table(
        "tries",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(collation="C"), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("operator_id", "key", name=op.f("pk_tries")),
    )
    op.create_table(
        "account",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("store_ids", sa.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("totp_secret", sa.LargeBinary(), nullable=True),
        sa.Column("totp_last_step", sa.BigInteger(), nullable=True),
        sa.Column("oidc_subject", sa.Text(), nullable=True),
        sa.Column("let_in_by", sa.Text(), nullable=True),
        sa.Column("let_in_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("suspended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["operator_id"], ["operator.id"], name=op.f("fk_account_operator_id_operator")
        ),
        sa.PrimaryKeyConstraint("operator_id", "id", name=op.f("pk_account")),
        sa.UniqueConstraint("operator_id", "email", name=op.f("uq_account_operator_id_email")),
    )
    op.create_index(
        "uq_account_oidc_subject",
        "account",
        ["operator_id", "oidc_subject"],
        unique=True,
        postgresql_where=sa.text("oidc_subject IS NOT NULL"),
    )
    op.create_table(
        "api_key",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["operator_id"], ["operator.id"], name=op.f("fk_api_key_operator_id_operator")
        ),
        sa.PrimaryKeyConstraint("operator_id", "id", name=op.f("pk_api_key")),
        sa.UniqueConstraint("id", name=op.f("uq_api_key_id")),
    )
    op.create_table(
        "campaign",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided", sa.Text(), nullable=False),
        sa.Column("stops", sa.Text(), nullable=True),
        sa.Column("stopped_by", sa.Text(), nullable=True),
        sa.Column("editors", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column(
            "approved", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True
        ),
        sa.Column(
            "proposed", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False
        ),
        sa.Column("planned_per_minute", sa.BigInteger(), nullable=False),
        sa.Column("planned_minor_per_minute", sa.BigInteger(), nullable=False),
        sa.Column("max_per_minute", sa.BigInteger(), nullable=False),
        sa.Column("max_per_customer", sa.BigInteger(), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("offline", sa.Text(), nullable=False),
        sa.Column("offline_count", sa.BigInteger(), nullable=False),
        sa.Column("offline_minor", sa.BigInteger(), nullable=False),
        sa.Column("freshness_seconds", sa.SmallInteger(), nullable=False),
        sa.Column("paper_allowed", sa.Boolean(), nullable=False),
        sa.Column(
            "limits", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False
        ),
        sa.Column("further_places", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("shuffle_key", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "freshness_seconds BETWEEN 15 AND 300", name=op.f("ck_campaign_freshness_seconds")
        ),
        sa.CheckConstraint(
            "further_places BETWEEN 0 AND 1000000000", name=op.f("ck_campaign_further_places")
        ),
        sa.CheckConstraint(
            "max_per_customer BETWEEN 1 AND 1000000000", name=op.f("ck_campaign_max_per_customer")
        ),
        sa.CheckConstraint(
            "max_per_minute BETWEEN 1 AND 1000000000", name=op.f("ck_campaign_max_per_minute")
        ),
        sa.CheckConstraint("number BETWEEN 1 AND 1000000000", name=op.f("ck_campaign_number")),
        sa.CheckConstraint(
            "offline_count BETWEEN 1 AND 1000000000", name=op.f("ck_campaign_offline_count")
        ),
        sa.CheckConstraint(
            "offline_minor BETWEEN 1 AND 1000000000000", name=op.f("ck_campaign_offline_minor")
        ),
        sa.CheckConstraint(
            "planned_minor_per_minute BETWEEN 1 AND 1000000000000",
            name=op.f("ck_campaign_planned_minor_per_minute"),
        ),
        sa.CheckConstraint(
            "planned_per_minute BETWEEN 1 AND 1000000000",
            name=op.f("ck_campaign_planned_per_minute"),
        ),
        sa.CheckConstraint("starts_at < ends_at", name=op.f("ck_campaign_window")),
        sa.ForeignKeyConstraint(
            ["operator_id"], ["operator.id"], name=op.f("fk_campaign_operator_id_operator")
        ),
        sa.PrimaryKeyConstraint("operator_id", "id", name=op.f("pk_campaign")),
        sa.UniqueConstraint("operator_id", "number", name=op.f("uq_campaign_operator_id_number")),
    )
    op.create_table(
        "ceremony",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=True),
        sa.Column(
            "data", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["operator_id"], ["operator.id"], name=op.f("fk_ceremony_operator_id_operator")
        ),
        sa.PrimaryKeyConstraint("operator_id", "hash", name=op.f("pk_ceremony")),
        sa.UniqueConstraint("hash", name=op.f("uq_ceremony_hash")),
    )
    op.create_table(
        "customer",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("segments", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("has_purchased", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["operator_id"], ["operator.id"], name=op.f("fk_customer_operator_id_operator")
        ),
        sa.PrimaryKeyConstraint("operator_id", "id", name=op.f("pk_customer")),
        sa.UniqueConstraint("operator_id", "ref", name=op.f("uq_customer_operator_id_ref")),
    )
    op.create_table(
        "disputed_holder",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("holder_key", sa.LargeBinary(), nullable=False),
        sa.Column("disputed_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("forgiven_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("suspended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lifted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "disputed_count BETWEEN 0 AND 1000000000",
            name=op.f("ck_disputed_holder_disputed_count"),
        ),
        sa.CheckConstraint(
            "forgiven_count BETWEEN 0 AND 1000000000",
            name=op.f("ck_disputed_holder_forgiven_count"),
        ),
        sa.CheckConstraint(
            "octet_length(holder_key) = 33", name=op.f("ck_disputed_holder_holder_key")
        ),
        sa.ForeignKeyConstraint(
            ["operator_id"], ["operator.id"], name=op.f("fk_disputed_holder_operator_id_operator")
        ),
        sa.PrimaryKeyConstraint("operator_id", "id", name=op.f("pk_disputed_holder")),
        sa.UniqueConstraint(
            "operator_id", "holder_key", name=op.f("uq_disputed_holder_operator_id_holder_key")
        ),
    )
    op.create_table(
        "import_job",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=True),
        sa.Column(
            "actor", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False
        ),
        sa.Column(
            "lines", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True
        ),
        sa.Column(
            "findings", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False
        ),
        sa.Column("lines_count", sa.BigInteger(), nullable=False),
        sa.Column("done_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("wrong_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("done_count BETWEEN 0 AND lines_count", name=op.f("ck_import_job_done")),
        sa.CheckConstraint(
            "lines_count BETWEEN 0 AND 50000", name=op.f("ck_import_job_lines_count")
        ),
        sa.CheckConstraint(
            "wrong_count BETWEEN 0 AND done_count", name=op.f("ck_import_job_wrong")
        ),
        sa.ForeignKeyConstraint(
            ["operator_id"], ["operator.id"], name=op.f("fk_import_job_operator_id_operator")
        ),
        sa.PrimaryKeyConstraint("operator_id", "id", name=op.f("pk_import_job")),
    )
    op.create_index(
        "ix_import_job_open",
        "import_job",
        ["id"],
        unique=False,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "invitation",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("store_ids", sa.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("invited_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["operator_id"], ["operator.id"], name=op.f("fk_invitation_operator_id_operator")
        ),
        sa.PrimaryKeyConstraint("operator_id", "id", name=op.f("pk_invitation")),
        sa.UniqueConstraint("hash", name=op.f("uq_invitation_hash")),
    )
    op.create_table(
        "merchant",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["operator_id"], ["operator.id"], name=op.f("fk_merchant_operator_id_operator")
        ),
        sa.PrimaryKeyConstraint("operator_id", "id", name=op.f("pk_merchant")),
    )
    op.create_table(
        "server_key",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column(
            "public_jwk", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False
        ),
        sa.Column("private_pem", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["operator_id"], ["operator.id"], name=op.f("fk_server_key_operator_id_operator")
        ),
        sa.PrimaryKeyConstraint("operator_id", "kid", name=op.f("pk_server_key")),
    )
    op.create_index(
        "uq_server_key_in_use",
        "server_key",
        ["operator_id"],
        unique=True,
        postgresql_where=sa.text("retired_at IS NULL"),
    )
    op.create_table(
        "sign_in",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("store_ids", sa.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("methods", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stepped_up_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("agent", sa.Text(), nullable=True),
        sa.Column("acts_for", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["operator_id"], ["operator.id"], name=op.f("fk_sign_in_operator_id_operator")
        ),
        sa.PrimaryKeyConstraint("operator_id", "hash", name=op.f("pk_sign_in")),
        sa.UniqueConstraint("hash", name=op.f("uq_sign_in_hash")),
    )
    op.create_index("ix_sign_in_account", "sign_in", ["operator_id", "account_id"], unique=False)
    op.create_table(
        "signing_key",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column("letter", sa.Text(), nullable=False),
        sa.Column("decided", sa.Text(), nullable=False),
        sa.Column(
            "public_jwk", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False
        ),
        sa.Column("private_pem", sa.LargeBinary(), nullable=True),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_from", sa.DateTime(timezone=True), nullable=True),
        sa.Column("used_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("letter ~ '^[A-Z]$'", name=op.f("ck_signing_key_letter")),
        sa.ForeignKeyConstraint(
            ["operator_id"], ["operator.id"], name=op.f("fk_signing_key_operator_id_operator")
        ),
        sa.PrimaryKeyConstraint("operator_id", "kid", name=op.f("pk_signing_key")),
    )
    op.create_index(
        "uq_signing_key_in_use",
        "signing_key",
        ["operator_id"],
        unique=True,
        postgresql_where=sa.text("decided = 'in_use'"),
    )
    op.create_index(
        "uq_signing_key_letter",
        "signing_key",
        ["operator_id", "letter"],
        unique=True,
        postgresql_where=sa.text("decided <> 'retired'"),
    )
    op.create_table(
        "contact",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.Column("lookup", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("verified_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["operator_id", "customer_id"],
            ["customer.operator_id", "customer.id"],
            name=op.f("fk_contact_operator_id_customer_id_customer"),
        ),
        sa.PrimaryKeyConstraint("operator_id", "id", name=op.f("pk_contact")),
        sa.UniqueConstraint("operator_id", "lookup", name=op.f("uq_contact_operator_id_lookup")),
    )
    op.create_index("ix_contact_customer", "contact", ["operator_id", "customer_id"], unique=False)
    op.create_table(
        "limit_row",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(collation="C"), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("max_count", sa.BigInteger(), nullable=False),
        sa.Column("used_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("max_minor", sa.BigInteger(), nullable=False),
        sa.Column("spent_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("held_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("minute", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("minute_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("minute_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "max_per_minute", sa.BigInteger(), server_default=sa.text("1000000000"), nullable=False
        ),
        sa.Column(
            "max_minor_per_minute",
            sa.BigInteger(),
            server_default=sa.text("1000000000000"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "max_minor_per_minute BETWEEN 1 AND 1000000000000",
            name=op.f("ck_limit_row_max_minor_per_minute"),
        ),
        sa.CheckConstraint("minute BETWEEN 0 AND 1099511627776", name=op.f("ck_limit_row_minute")),
        sa.CheckConstraint(
            "minute_count BETWEEN 0 AND max_per_minute AND max_per_minute <= 1000000000",
            name=op.f("ck_limit_row_rate"),
        ),
        sa.CheckConstraint(
            "minute_minor BETWEEN 0 AND 1000000000000", name=op.f("ck_limit_row_minute_minor")
        ),
        sa.CheckConstraint(
            "spent_minor BETWEEN 0 AND max_minor AND max_minor <= 1000000000000",
            name=op.f("ck_limit_row_money"),
        ),
        sa.CheckConstraint(
            "used_count BETWEEN 0 AND max_count AND max_count <= 1000000000",
            name=op.f("ck_limit_row_count"),
        ),
        sa.ForeignKeyConstraint(
            ["operator_id", "campaign_id"],
            ["campaign.operator_id", "campaign.id"],
            name=op.f("fk_limit_row_operator_id_campaign_id_campaign"),
        ),
        sa.PrimaryKeyConstraint("operator_id", "key", name=op.f("pk_limit_row")),
    )
    op.create_index(
        "ix_limit_row_campaign", "limit_row", ["operator_id", "campaign_id"], unique=False
    )
    op.create_table(
        "offer",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("family_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("quota_class", sa.SmallInteger(), nullable=False),
        sa.Column("replaces", sa.Uuid(), nullable=True),
        sa.Column(
            "terms", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False
        ),
        sa.Column("frozen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("quota_class BETWEEN 0 AND 15", name=op.f("ck_offer_quota_class")),
        sa.ForeignKeyConstraint(
            ["operator_id", "campaign_id"],
            ["campaign.operator_id", "campaign.id"],
            name=op.f("fk_offer_operator_id_campaign_id_campaign"),
        ),
        sa.PrimaryKeyConstraint("operator_id", "id", name=op.f("pk_offer")),
        sa.UniqueConstraint(
            "operator_id",
            "family_id",
            "version",
            name=op.f("uq_offer_operator_id_family_id_version"),
        ),
    )
    op.create_index(
        "uq_offer_quota_class",
        "offer",
        ["operator_id", "campaign_id", "quota_class"],
        unique=True,
        postgresql_where=sa.text("quota_class < 15"),
    )
    op.create_table(
        "passkey",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("credential_id", sa.LargeBinary(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("sign_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["operator_id", "account_id"],
            ["account.operator_id", "account.id"],
            name=op.f("fk_passkey_operator_id_account_id_account"),
        ),
        sa.PrimaryKeyConstraint("operator_id", "credential_id", name=op.f("pk_passkey")),
    )
    op.create_table(
        "recovery_code",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["operator_id", "account_id"],
            ["account.operator_id", "account.id"],
            name=op.f("fk_recovery_code_operator_id_account_id_account"),
        ),
        sa.PrimaryKeyConstraint("operator_id", "account_id", "hash", name=op.f("pk_recovery_code")),
    )
    op.create_table(
        "status_list",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("shard", sa.BigInteger(), nullable=False),
        sa.Column("ver", sa.BigInteger(), nullable=False),
        sa.Column("bits", sa.LargeBinary(), nullable=False),
        sa.Column("withdrawn", sa.ARRAY(sa.Uuid()), nullable=False),
        sa.CheckConstraint("ver BETWEEN 0 AND 9007199254740992", name=op.f("ck_status_list_ver")),
        sa.ForeignKeyConstraint(
            ["operator_id", "campaign_id"],
            ["campaign.operator_id", "campaign.id"],
            name=op.f("fk_status_list_operator_id_campaign_id_campaign"),
        ),
        sa.PrimaryKeyConstraint("operator_id", "campaign_id", "shard", name=op.f("pk_status_list")),
    )
    op.create_table(
        "store",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("merchant_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("latitude_microdegrees", sa.Integer(), nullable=True),
        sa.Column("longitude_microdegrees", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "latitude_microdegrees BETWEEN -90000000 AND 90000000",
            name=op.f("ck_store_latitude_microdegrees"),
        ),
        sa.CheckConstraint(
            "longitude_microdegrees BETWEEN -180000000 AND 180000000",
            name=op.f("ck_store_longitude_microdegrees"),
        ),
        sa.CheckConstraint(
            "num_nonnulls(latitude_microdegrees, longitude_microdegrees) IN (0, 2)",
            name=op.f("ck_store_place"),
        ),
        sa.ForeignKeyConstraint(
            ["operator_id", "merchant_id"],
            ["merchant.operator_id", "merchant.id"],
            name=op.f("fk_store_operator_id_merchant_id_merchant"),
        ),
        sa.PrimaryKeyConstraint("operator_id", "id", name=op.f("pk_store")),
        sa.UniqueConstraint("operator_id", "number", name=op.f("uq_store_operator_id_number")),
    )
    op.create_table(
        "wallet",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("octet_length(public_key) = 33", name=op.f("ck_wallet_public_key")),
        sa.ForeignKeyConstraint(
            ["operator_id", "customer_id"],
            ["customer.operator_id", "customer.id"],
            name=op.f("fk_wallet_operator_id_customer_id_customer"),
        ),
        sa.PrimaryKeyConstraint("operator_id", "id", name=op.f("pk_wallet")),
    )
    op.create_index("ix_wallet_customer", "wallet", ["operator_id", "customer_id"], unique=False)
    op.create_index("ix_wallet_id", "wallet", ["id"], unique=False)
    op.create_index(
        "uq_wallet_public_key",
        "wallet",
        ["operator_id", "public_key"],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "batch",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("offer_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("max_redemptions", sa.BigInteger(), nullable=True),
        sa.Column("budget_minor", sa.BigInteger(), nullable=True),
        sa.Column("has_short_codes", sa.Boolean(), nullable=False),
        sa.Column("needs_claim", sa.Boolean(), nullable=False),
        sa.Column("needs_contact", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("decided", sa.Text(), nullable=False),
        sa.Column("coupons_stay_valid", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "budget_minor BETWEEN 1 AND 1000000000000", name=op.f("ck_batch_budget_minor")
        ),
        sa.CheckConstraint(
            "max_redemptions BETWEEN 1 AND 1000000000", name=op.f("ck_batch_max_redemptions")
        ),
        sa.CheckConstraint("size BETWEEN 1 AND 1000000000", name=op.f("ck_batch_size")),
        sa.ForeignKeyConstraint(
            ["operator_id", "campaign_id"],
            ["campaign.operator_id", "campaign.id"],
            name=op.f("fk_batch_operator_id_campaign_id_campaign"),
        ),
        sa.ForeignKeyConstraint(
            ["operator_id", "offer_id"],
            ["offer.operator_id", "offer.id"],
            name=op.f("fk_batch_operator_id_offer_id_offer"),
        ),
        sa.PrimaryKeyConstraint("operator_id", "id", name=op.f("pk_batch")),
    )
    op.create_table(
        "cashier",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("store_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("pin_hash", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["operator_id", "store_id"],
            ["store.operator_id", "store.id"],
            name=op.f("fk_cashier_operator_id_store_id_store"),
        ),
        sa.PrimaryKeyConstraint("operator_id", "id", name=op.f("pk_cashier")),
    )
    op.create_table(
        "pairing",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("store_id", sa.Uuid(), nullable=False),
        sa.Column("terminal_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=True),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("refused_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["operator_id", "store_id"],
            ["store.operator_id", "store.id"],
            name=op.f("fk_pairing_operator_id_store_id_store"),
        ),
        sa.PrimaryKeyConstraint("operator_id", "id", name=op.f("pk_pairing")),
        sa.UniqueConstraint("hash", name=op.f("uq_pairing_hash")),
    )
    op.create_table(
        "passcode",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("link_hash", sa.LargeBinary(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("lookup", sa.LargeBinary(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("wallet_id", sa.Uuid(), nullable=False),
        sa.Column("tries", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("tries BETWEEN 0 AND 5", name=op.f("ck_passcode_tries")),
        sa.ForeignKeyConstraint(
            ["operator_id", "wallet_id"],
            ["wallet.operator_id", "wallet.id"],
            name=op.f("fk_passcode_operator_id_wallet_id_wallet"),
        ),
        sa.PrimaryKeyConstraint("operator_id", "id", name=op.f("pk_passcode")),
    )
    op.create_index(
        "ix_passcode_due",
        "passcode",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_index("ix_passcode_over", "passcode", ["expires_at"], unique=False)
    op.create_table(
        "receipt",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("store_id", sa.Uuid(), nullable=False),
        sa.Column("order_ref", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("basket_hash", sa.Text(), nullable=False),
        sa.Column("basket_minor", sa.BigInteger(), nullable=False),
        sa.Column("discount_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "applied", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "discount_minor BETWEEN 0 AND basket_minor", name=op.f("ck_receipt_discount")
        ),
        sa.ForeignKeyConstraint(
            ["operator_id", "store_id"],
            ["store.operator_id", "store.id"],
            name=op.f("fk_receipt_operator_id_store_id_store"),
        ),
        sa.PrimaryKeyConstraint("operator_id", "store_id", "order_ref", name=op.f("pk_receipt")),
    )
    op.create_table(
        "terminal",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("store_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("paired_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("journal_seq", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("journal_hash", sa.LargeBinary(), nullable=True),
        sa.Column("bundle_ver", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("frozen_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("octet_length(public_key) = 33", name=op.f("ck_terminal_public_key")),
        sa.ForeignKeyConstraint(
            ["operator_id", "store_id"],
            ["store.operator_id", "store.id"],
            name=op.f("fk_terminal_operator_id_store_id_store"),
        ),
        sa.PrimaryKeyConstraint("operator_id", "id", name=op.f("pk_terminal")),
    )
    op.create_index(
        "uq_terminal_paired",
        "terminal",
        ["id"],
        unique=True,
        postgresql_where=sa.text("public_key IS NOT NULL"),
    )
    op.create_table(
        "coupon",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("offer_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=True),
        sa.Column("store_id", sa.Uuid(), nullable=True),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.Column("uses_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_use_no", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("balance_minor", sa.BigInteger(), nullable=True),
        sa.Column("spent_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("holder_key", sa.LargeBinary(), nullable=True),
        sa.Column("holder_changes", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("code_hash", sa.LargeBinary(), nullable=True),
        sa.Column("last_redeemed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("held_by", sa.Uuid(), nullable=True),
        sa.Column("held_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("activated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("activated_store_id", sa.Uuid(), nullable=True),
        sa.Column("activated_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("activated_position", sa.BigInteger(), nullable=True),
        sa.Column("given_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("gift_hash", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint(
            "activated_position BETWEEN 0 AND 4294967296", name=op.f("ck_coupon_activated_position")
        ),
        sa.CheckConstraint(
            "balance_minor BETWEEN 1 AND 1000000000000", name=op.f("ck_coupon_balance_minor")
        ),
        sa.CheckConstraint(
            "holder_changes BETWEEN 0 AND 1000", name=op.f("ck_coupon_holder_changes")
        ),
        sa.CheckConstraint(
            "last_use_no BETWEEN 0 AND 1000000000", name=op.f("ck_coupon_last_use_no")
        ),
        sa.CheckConstraint(
            "num_nonnulls(activated_store_id, activated_until, activated_position) IN (0, 3)",
            name=op.f("ck_coupon_activated"),
        ),
        sa.CheckConstraint(
            "num_nonnulls(given_until, gift_hash) IN (0, 2)", name=op.f("ck_coupon_given")
        ),
        sa.CheckConstraint("octet_length(holder_key) = 33", name=op.f("ck_coupon_holder_key")),
        sa.CheckConstraint("position BETWEEN 0 AND 4294967296", name=op.f("ck_coupon_position")),
        sa.CheckConstraint(
            "spent_minor BETWEEN 0 AND 1000000000000", name=op.f("ck_coupon_spent_minor")
        ),
        sa.CheckConstraint(
            "spent_minor BETWEEN 0 AND coalesce(balance_minor, spent_minor)",
            name=op.f("ck_coupon_balance"),
        ),
        sa.CheckConstraint(
            "uses_count BETWEEN 0 AND uses AND uses <= 1000", name=op.f("ck_coupon_uses")
        ),
        sa.CheckConstraint("valid_from < valid_until", name=op.f("ck_coupon_window")),
        sa.ForeignKeyConstraint(
            ["operator_id", "batch_id"],
            ["batch.operator_id", "batch.id"],
            name=op.f("fk_coupon_operator_id_batch_id_batch"),
        ),
        sa.PrimaryKeyConstraint("operator_id", "id", name=op.f("pk_coupon")),
        sa.UniqueConstraint(
            "operator_id",
            "campaign_id",
            "position",
            name=op.f("uq_coupon_operator_id_campaign_id_position"),
        ),
    )
    op.create_index(
        "ix_coupon_activated",
        "coupon",
        ["operator_id", "campaign_id", "activated_at"],
        unique=False,
        postgresql_where=sa.text("activated_at IS NOT NULL"),
    )
    op.create_index("ix_coupon_batch", "coupon", ["operator_id", "batch_id", "id"], unique=False)
    op.create_index(
        "ix_coupon_customer", "coupon", ["operator_id", "customer_id", "issued_at"], unique=False
    )
    op.create_index(
        "ix_coupon_holder_key",
        "coupon",
        ["operator_id", "holder_key"],
        unique=False,
        postgresql_where=sa.text("holder_key IS NOT NULL"),
    )
    op.create_index(
        "ix_coupon_revoked",
        "coupon",
        ["operator_id", "campaign_id", "revoked_at"],
        unique=False,
        postgresql_where=sa.text("revoked_at IS NOT NULL"),
    )
    op.create_index(
        "uq_coupon_code_hash",
        "coupon",
        ["operator_id", "code_hash"],
        unique=True,
        postgresql_where=sa.text("code_hash IS NOT NULL"),
    )
    op.create_index(
        "uq_coupon_gift_hash",
        "coupon",
        ["operator_id", "gift_hash"],
        unique=True,
        postgresql_where=sa.text("gift_hash IS NOT NULL"),
    )
    op.create_table(
        "journal_entry",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("terminal_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("jwt", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease_id", sa.Uuid(), nullable=True),
        sa.Column("campaign_id", sa.Uuid(), nullable=True),
        sa.Column("coupon_id", sa.Uuid(), nullable=True),
        sa.Column("discount_minor", sa.BigInteger(), nullable=True),
        sa.Column("holder_key", sa.LargeBinary(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("why", sa.Text(), nullable=True),
        sa.Column("winner_id", sa.Uuid(), nullable=True),
        sa.Column("liable", sa.Text(), nullable=True),
        sa.Column("redemption_id", sa.Uuid(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("octet_length(hash) = 32", name=op.f("ck_journal_entry_hash")),
        sa.CheckConstraint("seq BETWEEN 1 AND 1099511627776", name=op.f("ck_journal_entry_seq")),
        sa.ForeignKeyConstraint(
            ["operator_id", "terminal_id"],
            ["terminal.operator_id", "terminal.id"],
            name=op.f("fk_journal_entry_operator_id_terminal_id_terminal"),
        ),
        sa.PrimaryKeyConstraint("operator_id", "terminal_id", "seq", name=op.f("pk_journal_entry")),
    )
    op.create_index(
        "ix_journal_entry_behind",
        "journal_entry",
        ["operator_id", "received_at"],
        unique=False,
        postgresql_where=sa.text("answer = 'provisional' AND redemption_id IS NULL"),
    )
    op.create_index(
        "ix_journal_entry_coupon",
        "journal_entry",
        ["operator_id", "coupon_id"],
        unique=False,
        postgresql_where=sa.text("coupon_id IS NOT NULL"),
    )
    op.create_index(
        "ix_journal_entry_decided",
        "journal_entry",
        ["operator_id", "terminal_id", "decided_at"],
        unique=False,
    )
    op.create_index(
        "ix_journal_entry_provisional",
        "journal_entry",
        ["operator_id", "campaign_id", "terminal_id", "at"],
        unique=False,
        postgresql_where=sa.text("answer = 'provisional' AND redemption_id IS NOT NULL"),
    )
    op.create_index(
        "ix_journal_entry_received",
        "journal_entry",
        ["operator_id", "campaign_id", "received_at"],
        unique=False,
        postgresql_where=sa.text("coupon_id IS NOT NULL"),
    )
    op.create_index(
        "uq_journal_entry_redemption",
        "journal_entry",
        ["operator_id", "redemption_id"],
        unique=True,
        postgresql_where=sa.text("redemption_id IS NOT NULL"),
    )
    op.create_table(
        "journal_fork",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("terminal_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("jwt", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["operator_id", "terminal_id"],
            ["terminal.operator_id", "terminal.id"],
            name=op.f("fk_journal_fork_operator_id_terminal_id_terminal"),
        ),
        sa.PrimaryKeyConstraint(
            "operator_id", "terminal_id", "seq", "hash", name=op.f("pk_journal_fork")
        ),
    )
    op.create_table(
        "journal_gap",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("terminal_id", sa.Uuid(), nullable=False),
        sa.Column("first_seq", sa.BigInteger(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("noticed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("filled_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["operator_id", "terminal_id"],
            ["terminal.operator_id", "terminal.id"],
            name=op.f("fk_journal_gap_operator_id_terminal_id_terminal"),
        ),
        sa.PrimaryKeyConstraint(
            "operator_id", "terminal_id", "first_seq", name=op.f("pk_journal_gap")
        ),
    )
    op.create_table(
        "lease",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("terminal_id", sa.Uuid(), nullable=False),
        sa.Column("store_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("is_authority", sa.Boolean(), nullable=False),
        sa.Column("hub_url", sa.Text(), nullable=True),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("replaced_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "ends_at <= starts_at + interval '24:00:00'", name=op.f("ck_lease_longest")
        ),
        sa.CheckConstraint("number BETWEEN 1 AND 1000000000", name=op.f("ck_lease_number")),
        sa.CheckConstraint("starts_at < ends_at", name=op.f("ck_lease_window")),
        sa.ForeignKeyConstraint(
            ["operator_id", "store_id"],
            ["store.operator_id", "store.id"],
            name=op.f("fk_lease_operator_id_store_id_store"),
        ),
        sa.ForeignKeyConstraint(
            ["operator_id", "terminal_id"],
            ["terminal.operator_id", "terminal.id"],
            name=op.f("fk_lease_operator_id_terminal_id_terminal"),
        ),
        sa.PrimaryKeyConstraint("operator_id", "id", name=op.f("pk_lease")),
        sa.UniqueConstraint(
            "operator_id",
            "terminal_id",
            "number",
            name=op.f("uq_lease_operator_id_terminal_id_number"),
        ),
    )
    op.create_index(
        "ix_lease_open",
        "lease",
        ["operator_id", "terminal_id", "number"],
        unique=False,
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.create_table(
        "shift",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("terminal_id", sa.Uuid(), nullable=False),
        sa.Column("cashier_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["operator_id", "cashier_id"],
            ["cashier.operator_id", "cashier.id"],
            name=op.f("fk_shift_operator_id_cashier_id_cashier"),
        ),
        sa.ForeignKeyConstraint(
            ["operator_id", "terminal_id"],
            ["terminal.operator_id", "terminal.id"],
            name=op.f("fk_shift_operator_id_terminal_id_terminal"),
        ),
        sa.PrimaryKeyConstraint("operator_id", "id", name=op.f("pk_shift")),
        sa.UniqueConstraint("hash", name=op.f("uq_shift_hash")),
    )
    op.create_index(
        "uq_shift_open",
        "shift",
        ["operator_id", "terminal_id"],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "allowance",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("lease_id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("max_count", sa.BigInteger(), nullable=False),
        sa.Column("max_minor", sa.BigInteger(), nullable=False),
        sa.Column("used_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("used_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("returned_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "used_count BETWEEN 0 AND max_count AND max_count <= 1000000000",
            name=op.f("ck_allowance_count"),
        ),
        sa.CheckConstraint(
            "used_minor BETWEEN 0 AND max_minor AND max_minor <= 1000000000000",
            name=op.f("ck_allowance_money"),
        ),
        sa.ForeignKeyConstraint(
            ["operator_id", "campaign_id"],
            ["campaign.operator_id", "campaign.id"],
            name=op.f("fk_allowance_operator_id_campaign_id_campaign"),
        ),
        sa.ForeignKeyConstraint(
            ["operator_id", "lease_id"],
            ["lease.operator_id", "lease.id"],
            name=op.f("fk_allowance_operator_id_lease_id_lease"),
        ),
        sa.PrimaryKeyConstraint(
            "operator_id", "lease_id", "campaign_id", name=op.f("pk_allowance")
        ),
    )
    op.create_table(
        "hold",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("coupon_id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("store_id", sa.Uuid(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("discount_minor", sa.BigInteger(), nullable=False),
        sa.Column(
            "lines", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["operator_id", "coupon_id"],
            ["coupon.operator_id", "coupon.id"],
            name=op.f("fk_hold_operator_id_coupon_id_coupon"),
        ),
        sa.PrimaryKeyConstraint("operator_id", "id", name=op.f("pk_hold")),
    )
    op.create_table(
        "redemption",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("coupon_id", sa.Uuid(), nullable=False),
        sa.Column("use_no", sa.Integer(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("offer_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=True),
        sa.Column("store_id", sa.Uuid(), nullable=False),
        sa.Column("terminal_id", sa.Uuid(), nullable=True),
        sa.Column("cashier", sa.Text(), nullable=True),
        sa.Column("order_ref", sa.Text(), nullable=True),
        sa.Column("hold_id", sa.Uuid(), nullable=True),
        sa.Column("redeemed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("undo_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("basket_minor", sa.BigInteger(), nullable=False),
        sa.Column("discount_minor", sa.BigInteger(), nullable=False),
        sa.Column("reversed_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("reversed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "lines", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False
        ),
        sa.Column("limit_keys", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=True),
        sa.CheckConstraint("discount_minor > 0", name=op.f("ck_redemption_discount")),
        sa.CheckConstraint(
            "reversed_minor BETWEEN 0 AND discount_minor", name=op.f("ck_redemption_reversed")
        ),
        sa.ForeignKeyConstraint(
            ["operator_id", "coupon_id"],
            ["coupon.operator_id", "coupon.id"],
            name=op.f("fk_redemption_operator_id_coupon_id_coupon"),
        ),
        sa.ForeignKeyConstraint(
            ["operator_id", "store_id"],
            ["store.operator_id", "store.id"],
            name=op.f("fk_redemption_operator_id_store_id_store"),
        ),
        sa.PrimaryKeyConstraint("operator_id", "id", name=op.f("pk_redemption")),
        sa.UniqueConstraint(
            "operator_id",
            "coupon_id",
            "use_no",
            name=op.f("uq_redemption_operator_id_coupon_id_use_no"),
        ),
    )
    op.create_index(
        "ix_redemption_campaign",
        "redemption",
        ["operator_id", "campaign_id", "redeemed_at"],
        unique=False,
    )
    op.create_index(
        "ix_redemption_customer",
        "redemption",
        ["operator_id", "customer_id", "redeemed_at"],
        unique=False,
        postgresql_where=sa.text("customer_id IS NOT NULL"),
    )
    op.create_index(
        "ix_redemption_reversed",
        "redemption",
        ["operator_id", "campaign_id", "reversed_at"],
        unique=False,
        postgresql_where=sa.text("reversed_at IS NOT NULL"),
    )
    op.create_index(
        "ix_redemption_store",
        "redemption",
        ["operator_id", "store_id", "redeemed_at"],
        unique=False,
    )
    op.create_table(
        "void_place",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("coupon_id", sa.Uuid(), nullable=False),
        sa.Column("void_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["operator_id", "coupon_id"],
            ["coupon.operator_id", "coupon.id"],
            name=op.f("fk_void_place_operator_id_coupon_id_coupon"),
        ),
        sa.PrimaryKeyConstraint(
            "operator_id", "campaign_id", "position", name=op.f("pk_void_place")
        ),
    )
    op.create_index(
        "ix_void_place_at", "void_place", ["operator_id", "campaign_id", "void_at"], unique=False
    )
    op.create_table(
        "hold_claim",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("limit_key", sa.Text(), nullable=False),
        sa.Column("hold_id", sa.Uuid(), nullable=False),
        sa.Column("minor", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["operator_id", "hold_id"],
            ["hold.operator_id", "hold.id"],
            name=op.f("fk_hold_claim_operator_id_hold_id_hold"),
        ),
        sa.PrimaryKeyConstraint("operator_id", "limit_key", "hold_id", name=op.f("pk_hold_claim")),
    )
    op.create_table(
        "reversal",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("redemption_id", sa.Uuid(), nullable=False),
        sa.Column("reversed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("cashier", sa.Text(), nullable=True),
        sa.Column(
            "lines", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False
        ),
        sa.Column("discount_minor", sa.BigInteger(), nullable=False),
        sa.Column("is_whole", sa.Boolean(), nullable=False),
        sa.CheckConstraint("discount_minor > 0", name=op.f("ck_reversal_discount")),
        sa.ForeignKeyConstraint(
            ["operator_id", "redemption_id"],
            ["redemption.operator_id", "redemption.id"],
            name=op.f("fk_reversal_operator_id_redemption_id_redemption"),
        ),
        sa.PrimaryKeyConstraint("operator_id", "id", name=op.f("pk_reversal")),
    )
    op.create_index(
        "ix_reversal_redemption", "reversal", ["operator_id", "redemption_id"], unique=False
    )
    op.execute(APPEND_ONLY)


def downgrade() -> None:
    op.drop_index("ix_reversal_redemption", table_name="reversal")
    op.drop_table("reversal")
    op.drop_table("hold_claim")
    op.drop_index("ix_void_place_at", table_name="void_place")
    op.drop_table("void_place")
    op.drop_index("ix_redemption_store", table_name="redemption")
    op.drop_index(
        "ix_redemption_reversed",
        table_name="redemption",
        postgresql_where=sa.text("reversed_at IS NOT NULL"),
    )
    op.drop_index(
        "ix_redemption_customer",
        table_name="redemption",
        postgresql_where=sa.text("customer_id IS NOT NULL"),
    )
    op.drop_index("ix_redemption_campaign", table_name="redemption")
    op.drop_table("redemption")
    op.drop_table("hold")
    op.drop_table("allowance")
    op.drop_index("uq_shift_open", table_name="shift", postgresql_where=sa.text("ended_at IS NULL"))
    op.drop_table("shift")
    op.drop_index(
        "ix_lease_open", table_name="lease", postgresql_where=sa.text("closed_at IS NULL")
    )
    op.drop_table("lease")
    op.drop_table("journal_gap")
    op.drop_table("journal_fork")
    op.drop_index(
        "uq_journal_entry_redemption",
        table_name="journal_entry",
        postgresql_where=sa.text("redemption_id IS NOT NULL"),
    )
    op.drop_index(
        "ix_journal_entry_received",
        table_name="journal_entry",
        postgresql_where=sa.text("coupon_id IS NOT NULL"),
    )
    op.drop_index(
        "ix_journal_entry_provisional",
        table_name="journal_entry",
        postgresql_where=sa.text("answer = 'provisional' AND redemption_id IS NOT NULL"),
    )
    op.drop_index("ix_journal_entry_decided", table_name="journal_entry")
    op.drop_index(
        "ix_journal_entry_coupon",
        table_name="journal_entry",
        postgresql_where=sa.text("coupon_id IS NOT NULL"),
    )
    op.drop_index(
        "ix_journal_entry_behind",
        table_name="journal_entry",
        postgresql_where=sa.text("answer = 'provisional' AND redemption_id IS NULL"),
    )
    op.drop_table("journal_entry")
    op.drop_index(
        "uq_coupon_gift_hash",
        table_name="coupon",
        postgresql_where=sa.text("gift_hash IS NOT NULL"),
    )
    op.drop_index(
        "uq_coupon_code_hash",
        table_name="coupon",
        postgresql_where=sa.text("code_hash IS NOT NULL"),
    )
    op.drop_index(
        "ix_coupon_revoked", table_name="coupon", postgresql_where=sa.text("revoked_at IS NOT NULL")
    )
    op.drop_index(
        "ix_coupon_holder_key",
        table_name="coupon",
        postgresql_where=sa.text("holder_key IS NOT NULL"),
    )
    op.drop_index("ix_coupon_customer", table_name="coupon")
    op.drop_index("ix_coupon_batch", table_name="coupon")
    op.drop_index(
        "ix_coupon_activated",
        table_name="coupon",
        postgresql_where=sa.text("activated_at IS NOT NULL"),
    )
    op.drop_table("coupon")
    op.drop_index(
        "uq_terminal_paired",
        table_name="terminal",
        postgresql_where=sa.text("public_key IS NOT NULL"),
    )
    op.drop_table("terminal")
    op.drop_table("receipt")
    op.drop_index("ix_passcode_over", table_name="passcode")
    op.drop_index(
        "ix_passcode_due", table_name="passcode", postgresql_where=sa.text("due_at IS NOT NULL")
    )
    op.drop_table("passcode")
    op.drop_table("pairing")
    op.drop_table("cashier")
    op.drop_table("batch")
    op.drop_index(
        "uq_wallet_public_key", table_name="wallet", postgresql_where=sa.text("ended_at IS NULL")
    )
    op.drop_index("ix_wallet_id", table_name="wallet")
    op.drop_index("ix_wallet_customer", table_name="wallet")
    op.drop_table("wallet")
    op.drop_table("store")
    op.drop_table("status_list")
    op.drop_table("recovery_code")
    op.drop_table("passkey")
    op.drop_index(
        "uq_offer_quota_class", table_name="offer", postgresql_where=sa.text("quota_class < 15")
    )
    op.drop_table("offer")
    op.drop_index("ix_limit_row_campaign", table_name="limit_row")
    op.drop_table("limit_row")
    op.drop_index("ix_contact_customer", table_name="contact")
    op.drop_table("contact")
    op.drop_index(
        "uq_signing_key_letter",
        table_name="signing_key",
        postgresql_where=sa.text("decided <> 'retired'"),
    )
    op.drop_index(
        "uq_signing_key_in_use",
        table_name="signing_key",
        postgresql_where=sa.text("decided = 'in_use'"),
    )
    op.drop_table("signing_key")
    op.drop_index("ix_sign_in_account", table_name="sign_in")
    op.drop_table("sign_in")
    op.drop_index(
        "uq_server_key_in_use",
        table_name="server_key",
        postgresql_where=sa.text("retired_at IS NULL"),
    )
    op.drop_table("server_key")
    op.drop_table("merchant")
    op.drop_table("invitation")
    op.drop_index(
        "ix_import_job_open", table_name="import_job", postgresql_where=sa.text("ended_at IS NULL")
    )
    op.drop_table("import_job")
    op.drop_table("disputed_holder")
    op.drop_table("customer")
    op.drop_table("ceremony")
    op.drop_table("campaign")
    op.drop_table("api_key")
    op.drop_index(
        "uq_account_oidc_subject",
        table_name="account",
        postgresql_where=sa.text("oidc_subject IS NOT NULL"),
    )
    op.drop_table("account")
    op.drop_table("tries")
    op.drop_index("ix_outbox_due", table_name="outbox")
    op.drop_table("outbox")
    op.drop_table("operator")
    op.drop_index("ix_event_subject", table_name="event")
    op.drop_index("ix_event_recorded", table_name="event")
    op.drop_table("event")
    op.drop_table("answer")
    op.execute("DROP FUNCTION event_is_append_only")
