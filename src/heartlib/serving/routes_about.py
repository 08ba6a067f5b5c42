"""What there is and how it goes: /v1/models, /health."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

import heartlib
from heartlib.serving.metrics import CONTENT_TYPE
from heartlib.serving.problems import Problem
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
    if not service.accepting:
        raise Problem(503, "the server is stopping")
    dispatcher = service.dispatcher
    return {
        "status": "ok",
        "version": heartlib.__version__,
        "waiting": len(dispatcher.queue),
        "singing": dispatcher.singing,
    }


@router.get(
    "/metrics",
    response_class=Response,
    responses=problems() | {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def metrics(request: Request) -> Response:
    """What the server counts, for Prometheus; with a key, where there are keys."""
    return Response(request.app.state.metrics.text(), media_type=CONTENT_TYPE)
