"""The application: routes, what stands before them, and how errors are told."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

import heartlib
from heartlib.errors import HeartlibError
from heartlib.serving import routes_about, routes_media, routes_songs, speech
from heartlib.serving.guard import Access, Guard
from heartlib.serving.metrics import Counted, Metrics
from heartlib.serving.problems import MEDIA_TYPE, Problem, problem_of
from heartlib.serving.service import Service
from heartlib.serving.views import ProblemView

if TYPE_CHECKING:
    from heartlib.studio.site import Studio

logger = logging.getLogger("heartlib.serving")
ROUTES = (routes_songs, routes_media, speech, routes_about)
EXPOSED = ("Location", "Retry-After", "Content-Range", "Accept-Ranges", "ETag")


def create_app(service: Service, access: Access, *, studio: bool = False) -> FastAPI:
    """The API of one service, which has started; it is stopped with the application. studio: with the page at `/`."""
    page: Studio | None = None
    if studio:
        from heartlib.studio.site import Studio
        from heartlib.studio.visitors import Visitors

        visitors = Visitors(service.folder.secret(), access.keys)
        access = replace(access, visitors=visitors)
        page = Studio(service, visitors)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with nullcontext() if page is None else page.running():
            yield
        await service.stop()

    app = FastAPI(
        title="heartlib",
        version=heartlib.__version__,
        description="Lyrics and style tags in, songs out.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service = service
    for module in ROUTES:
        app.include_router(module.router)
    if page is not None:
        app.router.default = page
    app.state.metrics = Metrics(service)
    app.add_middleware(Counted, metrics=app.state.metrics)
    app.add_middleware(Guard, access=access, limits=service.limits)
    if access.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(access.origins),
            allow_methods=["GET", "HEAD", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID"],
            expose_headers=list(EXPOSED),
        )
    app.add_exception_handler(HeartlibError, _tell_ours)
    app.add_exception_handler(HTTPException, _tell_http)
    app.add_exception_handler(RequestValidationError, _tell_invalid)
    app.add_exception_handler(Exception, _tell_other)
    app.openapi = lambda: _document(app, access)  # pyright: ignore[reportAttributeAccessIssue]
    return app


def answer(problem: Problem, request: Request) -> JSONResponse:
    """A problem as a response; to clients of OpenAI's API also where they look for it."""
    body = problem.to_dict()
    if request.url.path.startswith("/v1/audio/"):
        kind = "server_error" if problem.status >= 500 else "invalid_request_error"
        body["error"] = {"message": problem.detail, "type": kind, "param": None, "code": None}
    return JSONResponse(body, problem.status, problem.headers, MEDIA_TYPE)


async def _tell_ours(request: Request, error: Exception) -> JSONResponse:
    return answer(problem_of(error), request)


async def _tell_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    response = answer(Problem(error.status_code, str(error.detail)), request)
    response.headers.update(error.headers or {})
    if error.status_code == 405:
        response.headers["Allow"] = ", ".join(_methods(request.url.path))
    return response


def _methods(path: str) -> list[str]:
    """Those that a path takes, by all of its routes."""
    routes = [route for module in ROUTES for route in module.router.routes]
    found = [r for r in routes if isinstance(r, APIRoute) and r.path_regex.match(path)]
    return sorted({method for route in found for method in route.methods or ()})


async def _tell_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    errors = [
        {"where": [str(part) for part in one["loc"]], "what": str(one["msg"])}
        for one in error.errors()
    ]
    first = f"{'.'.join(errors[0]['where'])}: {errors[0]['what']}"
    return answer(Problem(422, first, errors=errors[:20]), request)


async def _tell_other(request: Request, error: Exception) -> JSONResponse:
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return answer(problem_of(error), request)


def _document(app: FastAPI, access: Access) -> dict[str, Any]:
    """The OpenAPI document, with problem details and, where there are keys, how they are given."""
    if app.openapi_schema is None:
        found = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
        )
        parts = found.setdefault("components", {})
        schemas = parts.setdefault("schemas", {})
        schemas["ProblemView"] = ProblemView.model_json_schema()
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        if access.keys is not None:
            parts["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            found["security"] = [{"key": []}]
        app.openapi_schema = found
    return app.openapi_schema
