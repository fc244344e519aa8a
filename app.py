"""The page as a Hugging Face Space, or at home: `python app.py`. The page itself is petseg.app."""

from petseg.app import launch

if __name__ == "__main__":
    launch()
