"""What can be exported, and the analysis that each is made from. Imports nothing, so that help may name it."""

MADE_FROM = {
    "cam": "cam",
    "attention": "attention",
    "saliency": "saliency",
    "flow": "attention",
    "truncation": "truncation",
    "lens": "lens",
    "knockout": "knockout",
    "faithfulness": "faithfulness",
}
FORMATS = ("png", "svg", "csv", "json")
