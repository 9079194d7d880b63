from dataclasses import dataclass

import pytest
from sqlalchemy import Engine

from coupon_engine.database import transaction
from schemas.campaigns import CampaignView
from tests import make


@dataclass(frozen=True)
class Scene:
    """A shop with a campaign, in a database of this test's own."""

    engine: Engine
    at: make.Shop
    campaign: CampaignView


@pytest.fixture
def scene(database: Engine) -> Scene:
    with transaction(database) as session:
        at = make.shop(session)
        return Scene(database, at, make.campaign(session, at, budget_minor=600))
