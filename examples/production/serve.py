"""A small serving app: answers with the champion, and takes a new one when it is told to.

    python serve.py [--port N]

    curl 127.0.0.1:8000/predict -d '{"images": [[[[0, 0, 5, ...], ...]]]}'
    curl -X POST 127.0.0.1:8000/reload

Standard library and the model, no more: neither Ray nor Optuna is loaded. Every file of the bundle
is compared with its SHA-256 before it is used.
"""

from __future__ import annotations

import argparse
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch

import hpo

REFERENCE = "digits@champion"
MAX_BYTES = 1 << 20
SHAPE = (1, 8, 8)


class Champion:
    """The model that answers."""

    def __init__(self) -> None:
        self.reload()

    def reload(self) -> None:
        self._model = hpo.load_model(REFERENCE)

    def predict(self, images: list[Any]) -> dict[str, Any]:
        """Classes and probabilities of images, [N, 1, 8, 8] of 0 to 16."""
        x = torch.tensor(images, dtype=torch.float32)
        if x.ndim != 4 or tuple(x.shape[1:]) != SHAPE:
            raise ValueError(f"images must be [N, 1, 8, 8], got {list(x.shape)}")
        with torch.no_grad():
            scores = self._model(x).softmax(1)
        return {"classes": scores.argmax(1).tolist(), "probabilities": scores.tolist()}


class Handler(BaseHTTPRequestHandler):
    champion: Champion

    def do_POST(self) -> None:
        if self.path == "/reload":
            self.champion.reload()
            return self._answer(200, {"reloaded": REFERENCE})
        if self.path != "/predict":
            return self._answer(404, {"error": "POST /predict or /reload"})
        length = int(self.headers.get("Content-Length", 0))
        if length > MAX_BYTES:
            return self._answer(413, {"error": f"at most {MAX_BYTES} bytes"})
        try:
            images = json.loads(self.rfile.read(length))["images"]
            answer = self.champion.predict(images)
        except (ValueError, TypeError, KeyError) as error:
            return self._answer(400, {"error": f"{type(error).__name__}: {error}"})
        return self._answer(200, answer)

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve the champion on loopback.")
    parser.add_argument("--port", type=int, default=8000)
    Handler.champion = Champion()
    server = ThreadingHTTPServer(("127.0.0.1", parser.parse_args().port), Handler)
    print(f"{REFERENCE} answers on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
