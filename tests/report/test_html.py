from latentpk.report.html import Html, element, facts, items, joined, table


def test_text_is_escaped_wherever_it_stands():
    evil = "<script>\"&'"
    safe = "&lt;script&gt;&quot;&amp;&#x27;"
    for made in (
        element("p", evil),
        element("p", "x", title=evil),
        element("p", ["a", [evil]]),
        joined(evil),
        items([evil]),
        table([evil], [[evil]]),
        facts([(evil, evil)]),
    ):
        assert "<script" not in made.markup
        assert safe in made.markup


def test_elements_made_here_are_not_escaped_again():
    made = element("p", Html("<b>1</b>"), None, element("i", "<"))
    assert made.markup == "<p><b>1</b><i>&lt;</i></p>"


def test_a_chosen_row_stands_out():
    made = table(["a"], [["1"], ["2"]], chosen=1).markup
    assert '<tr><td>1</td></tr><tr class="chosen"><td>2</td></tr>' in made
