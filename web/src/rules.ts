/** What stands in Python and is brought here by `python -m export.web`, so that it stands once. */

type Numbers<Names extends string> = Readonly<Record<Names, number>>;

/** Constants of petseg's modules, by their names there without a leading underscore. */
export interface Rules {
  decision: Numbers<"OUTSIDE" | "SURE" | "ENOUGH" | "PART" | "FRINGE">;
  prompts: Numbers<"SIGMA" | "SIGMA_SIZE" | "REACH">;
  closeup: Numbers<
    "ZOOMS" | "SAME" | "MARGIN" | "WORTH" | "TIGHT" | "SHOWS_MORE" | "SMALLEST" | "DOUBT" | "AGAIN"
  >;
  apart: Numbers<"SAME" | "FINER" | "LOW" | "HIGH">;
  animal: Numbers<"CRUMB" | "NEARLY_ALL" | "MOST" | "BESIDES" | "RULED_OUT">;
  dialogue: Numbers<"NEAR" | "INSIDE" | "AGREE">;
  presence: Numbers<"POINTED">;
  second_look: Numbers<
    | "MAYBE"
    | "SMALL"
    | "SPREAD"
    | "WIDE"
    | "TILE"
    | "STEP"
    | "MOST"
    | "FINER"
    | "DOUBTED"
    | "FIRST"
    | "EDGE"
    | "SLOPE"
  >;
  speckles: Numbers<"BLACK" | "WHITE" | "ALONE" | "APART" | "MANY" | "GRID">;
  stickers: Numbers<"SIDE" | "OUTLINE" | "SHADOW" | "DROP" | "DARK" | "MARGIN">;
}

/** A file, which is sent compressed; `sha256` is of what it holds. */
export interface Listed {
  path: string;
  sha256: string;
  bytes: number;
  packed: number;
}

/** models.json. */
export interface Listing {
  runtime: Listed;
  all: Listed;
  encoder: Listed;
  decoder: Listed;
  rules: Rules;
}
