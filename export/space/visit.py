"""Asks a running page what a program would ask it, and prints the answers as one JSON object.

`export.space` runs this file in the environment that it checks, so nothing of petseg is imported here.
"""

import json
import sys

from gradio_client import Client, handle_file


def main(url: str, photo: str) -> None:
    """Ask for the models, and for the pets in a photo.

    Args:
        url: of the page.
        photo: path of a picture.
    """
    # The page is on the loopback: a proxy could only be in the way.
    client = Client(url, verbose=False, httpx_kwargs={"trust_env": False})
    models = client.predict(api_name="/models")
    *_, found = client.predict(handle_file(photo), points="", box="", model="", api_name="/segment")
    print(json.dumps({"models": models, "found": found}))


if __name__ == "__main__":
    main(*sys.argv[1:])
