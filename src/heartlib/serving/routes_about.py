"""What there is and how it goes: /v1/models, /health."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

import heartlib
from heartlib.serving.routes_songs import Owner, Serving, problems
from heartlib.serving.views import ModelsView, ModelView

router = APIRouter(tags=["about"])


@router.get("/v1/models", responses=problems())
async def models(service: Serving, owner: Owner) -> ModelsView:
    """The model that this server sings with, and its tags."""
    model = service.model
    tags = {kind: list(group) for kind, group in model.tags.items()}
    view = ModelView(id=model.name, tags=tags, longest_seconds=model.longest)
    return ModelsView(data=[view])


@router.get("/health", responses=problems(503))
async def health(service: Serving) -> dict[str, Any]:
    """Whether songs are taken, and how many wait and are sung."""
    from heartlib.serving.problems import Problem

    if not service.accepting:
        raise Problem(503, "the server is stopping")
    dispatcher = service.dispatcher
    return {
        "status": "ok",
        "version": heartlib.__version__,
        "waiting": len(dispatcher.queue),
        "singing": dispatcher.singing,
    }
