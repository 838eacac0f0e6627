"""What a reader sees of a page, for tests without a browser."""

import html
import re

import requests


def words(answer: requests.Response) -> str:
    """The page's text on one line, tags and head left out."""
    body = re.sub(r"(?s)<head>.*?</head>", "", answer.text)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", body))).strip()
