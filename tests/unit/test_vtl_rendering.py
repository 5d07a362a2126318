"""The mapping template engine against a table: Velocity 1.7's documented behaviour, and what is refused aloud."""

from __future__ import annotations

import copy

import pytest

from localcloud.gateway.vtl import JsonList, VtlError, parse_template, render

DATA = {
    "s": "text",
    "e": "",
    "wide": "a😀b",
    "n": 7,
    "f": 2.5,
    "t": True,
    "no": False,
    "nil": None,
    "l": [1, 2, 3],
    "m": {"k": "v", "a-b": "dash", "inner": {"x": 1}, "size": "entry"},
    "json": JsonList([{"a": 1}, "b"]),
    "a-b": "hyphen",
    "_x": "under",
}


def _render(template: str) -> str:
    return render(parse_template(template), copy.deepcopy(DATA))


CASES = [
    # ---- text and references
    ("", ""),
    ("plain", "plain"),
    ("a\nb\r\nc", "a\nb\r\nc"),
    ("$", "$"),
    ("$$", "$$"),
    ("$ s", "$ s"),
    ("$5.00", "$5.00"),
    ("100%", "100%"),
    ("$!", "$!"),
    ("${", "${"),
    ("${}", "${}"),
    ("$s", "text"),
    ("${s}", "text"),
    ("$!s", "text"),
    ("$!{s}", "text"),
    ("$s$s", "texttext"),
    ("${s}s", "texts"),
    ("$s.", "text."),
    ("$s. x", "text. x"),
    ("$s.5", "text.5"),
    ("$s!", "text!"),
    ("$s)", "text)"),
    ("<$s>", "<text>"),
    ("$$s", "$text"),
    ("$a-b", "hyphen"),
    ("${a-b}", "hyphen"),
    ("$_x", "under"),
    ("$n", "7"),
    ("$f", "2.5"),
    ("$t $no", "true false"),
    ("$e|", "|"),
    ("$!missing|", "|"),
    ("$!{missing}|", "|"),
    ("$!missing.deep.er|", "|"),
    ("$!missing.call('x')|", "|"),
    ("$!m.nothing|", "|"),
    ("$!s.nosuch()|", "|"),
    ("$!nil|", "|"),
    ("$m.k", "v"),
    ("${m.k}x", "vx"),
    ("$m.a-b", "dash"),
    ("$m.inner.x", "1"),
    ("$m['k']", "v"),
    ('$m["k"]', "v"),
    ("$m['a-b']", "dash"),
    ("$m.inner['x']", "1"),
    ("$m.get('k')", "v"),
    ("$m.size", "entry"),
    ("$m.size()", "4"),
    ("$l[0]$l[2]", "13"),
    ("$l[-1]", "3"),
    ("$l.get(1)", "2"),
    ("$l", "[1, 2, 3]"),
    ("$m.inner", "{x=1}"),
    ("$json", '[{"a":1},"b"]'),
    ("$s[", "text["),
    ("$s[]", "text[]"),
    ("$s [0]", "text [0]"),
    # ---- escapes
    ("\\$s", "$s"),
    ("\\\\$s", "\\text"),
    ("\\\\\\$s", "\\$s"),
    ("\\$missing", "\\$missing"),
    ("\\${s}", "${s}"),
    ("a\\b", "a\\b"),
    ("\\", "\\"),
    ("\\n", "\\n"),
    ("\\#if", "#if"),
    ("\\#set", "#set"),
    ("\\\\#if(true)x#end", "\\x"),
    ("\\#nosuch", "\\#nosuch"),
    # ---- hash text
    ("#", "#"),
    ("# x", "# x"),
    ("#fff", "#fff"),
    ("#{fff}", "#{fff}"),
    ("a#1", "a#1"),
    ("#nosuch(1)", "#nosuch(1)"),
    # ---- comments and literals
    ("a## gone\nb", "ab"),
    ("a## gone\r\nb", "ab"),
    ("a##", "a"),
    ("a\n## x\nb", "a\nb"),
    ("a#* x\ny *#b", "ab"),
    ("a#* x *#\nb", "a\nb"),
    ("a#** doc *#b", "ab"),
    ("#[[$s #if(]]#", "$s #if("),
    ("a#[[]]#b", "ab"),
    ("#[[a\nb]]#\n", "a\nb\n"),
    # ---- line ends that directives eat
    ("#set($x = 1)\n$x", "1"),
    ("#set($x = 1)  \n$x", "1"),
    ("#set($x = 1)\r\n$x", "1"),
    ("#set($x = 1)\n\n$x", "\n1"),
    ("#set($x = 1) $x", " 1"),
    ("a\n#set($x = 1)\nb", "a\nb"),
    ("a\n  #set($x = 1)\nb", "a\n  b"),
    ("#set($x = 1)\n  #set($y = 2)\n$x$y", "12"),
    ("#if(true)\nx\n#end\ny", "x\ny"),
    ("#if(true)  \nx\n#end  \ny", "x\ny"),
    ("  #if(true)\nx\n  #end\ny", "  x\n  y"),
    ("#if(true)x#{end}y", "xy"),
    ("#if(false)\nx\n#else\ny\n#end\nz", "y\nz"),
    ("#if(false)x#{else}y#end", "y"),
    ("#foreach($i in [1])\n$i\n#end\nz", "1\nz"),
    ("$s\n#if(true)\nx#end\n", "text\nx"),
    ("#if(true)x#end y", "x y"),
    ("#stop\nx", ""),
    # ---- set
    ("#set($x = 'a')$x", "a"),
    ("#set( $x = 'a' )$x", "a"),
    ("#set($x='a')$x", "a"),
    ("#set ($x = 'a')$x", "a"),
    ("#{set}($x = 'a')$x", "a"),
    ("#set(${x} = 'a')$x", "a"),
    ("#set(\n$x\n=\n1\n)$x", "1"),
    ("#set($x = $s)$x", "text"),
    ("#set($x = true)$x", "true"),
    ("#set($x = false)$x", "false"),
    ("#set($x = -3)$x", "-3"),
    ("#set($x = 1.5)$x", "1.5"),
    ("#set($x = .5)$x", "0.5"),
    ("#set($x = 1e3)$x", "1000.0"),
    ("#set($x = 1e10)$x", "1.0E10"),
    ("#set($x = 12345678.9)$x", "1.23456789E7"),
    ("#set($x = 0.0001)$x", "1.0E-4"),
    ("#set($x = [])$x", "[]"),
    ("#set($x = [1, 'a', $n])$x", "[1, a, 7]"),
    ("#set($x = [1..3])$x", "[1, 2, 3]"),
    ("#set($x = [3..1])$x", "[3, 2, 1]"),
    ("#set($x = [-1..1])$x", "[-1, 0, 1]"),
    ("#set($x = [ 1 .. $n ])$x.size()", "7"),
    ("#set($x = {})$x", "{}"),
    ("#set($x = {'a': 1, \"b\" : $n})$x", "{a=1, b=7}"),
    ("#set($x = {'a': {'b': [1]}})$x.a.b[0]", "1"),
    ("#set($m.new = 'x')$m.new", "x"),
    ("#set($m['new'] = 'x')$m.new", "x"),
    ("#set($m.inner.x = 9)$m.inner", "{x=9}"),
    ("#set($l[0] = 9)$l", "[9, 2, 3]"),
    ("#set($x = 1)#set($x = $missing)$x", "1"),
    ("#set($x = $missing)#if($x)y#{else}n#end", "n"),
    # ---- strings
    ("#set($x = 'a$s')$x", "a$s"),
    ('#set($x = "a$s")$x', "atext"),
    ('#set($x = "${s}s")$x', "texts"),
    ('#set($x = "$m.k|$l[0]")$x', "v|1"),
    ('#set($x = "a#if($t)b#{else}c#end")$x', "ab"),
    ('#set($x = "$!missing|")$x', "|"),
    ('#set($x = "it\'s")$x', "it's"),
    ("#set($x = 'say \"hi\"')$x", 'say "hi"'),
    ('#set($x = "a\\"b")$x', 'a\\"b'),
    ('#set($x = "\\\\")$x|', "\\\\|"),
    ("#set($x = '\\')$x|", "\\|"),
    ('#set($x = "\\u00e9")$x', "é"),
    ("#set($x = '')$x|", "|"),
    ('#set($x = "#fff")$x', "#fff"),
    ("#set($x = 'a\nb')$x", "a\nb"),
    ("#set($q = '\"')$q", '"'),
    # ---- arithmetic and joining
    ("#set($x = 1 + 2)$x", "3"),
    ("#set($x = 5 - 2)$x", "3"),
    ("#set($x = 5 - -2)$x", "7"),
    ("#set($x = 2 * 3 + 4)$x", "10"),
    ("#set($x = 2 + 3 * 4)$x", "14"),
    ("#set($x = (2 + 3) * 4)$x", "20"),
    ("#set($x = 7 / 2)$x", "3"),
    ("#set($x = 7 % 2)$x", "1"),
    ("#set($x = -7 / 2)$x", "-3"),
    ("#set($x = -7 % 2)$x", "-1"),
    ("#set($x = 7 / 2.0)$x", "3.5"),
    ("#set($x = 1 + 1.0)$x", "2.0"),
    ("#set($x = $n + 1)$x", "8"),
    ("#set($x = 10 - 3 - 2)$x", "5"),
    ("#set($x = 'a' + 'b')$x", "ab"),
    ("#set($x = 'a' + 1)$x", "a1"),
    ("#set($x = 1 + 'a')$x", "1a"),
    ("#set($x = 'a' + 1 + 2)$x", "a12"),
    ("#set($x = 1 + 2 + 'a')$x", "3a"),
    ("#set($x = 'a' + true)$x", "atrue"),
    ("#set($x = 'a' + $f)$x", "a2.5"),
    ("#set($x = 'a' + $l)$x", "a[1, 2, 3]"),
    # ---- conditions
    ("#if(true)y#end", "y"),
    ("#if(false)y#end", ""),
    ("#if($t)y#end", "y"),
    ("#if($no)y#end", ""),
    ("#if($missing)y#{else}n#end", "n"),
    ("#if($missing.a.b)y#{else}n#end", "n"),
    ("#if($nil)y#{else}n#end", "n"),
    ("#if($e)y#{else}n#end", "y"),
    ("#if($s)y#end", "y"),
    ("#if(0)y#end", "y"),
    ("#if([])y#end", "y"),
    ("#if(!$t)y#{else}n#end", "n"),
    ("#if(!$missing)y#end", "y"),
    ("#if(not $missing)y#end", "y"),
    ("#if(! $no && $t)y#end", "y"),
    ("#if(!($t && $no))y#end", "y"),
    ("#if ($t)y#end", "y"),
    ("#if( $t )y#end", "y"),
    ("#{if}($t)y#end", "y"),
    ("#if($n == 7)y#end", "y"),
    ("#if($n == 7.0)y#end", "y"),
    ("#if($n == '7')y#end", "y"),
    ("#if($n != 8)y#end", "y"),
    ("#if($s == 'text')y#end", "y"),
    ('#if($s == "text")y#end', "y"),
    ("#if($s != 'text')y#{else}n#end", "n"),
    ("#if($t == true)y#end", "y"),
    ("#if($t == 'true')y#end", "y"),
    ("#if($missing == 'x')y#{else}n#end", "n"),
    ("#if($missing != 'x')y#{else}n#end", "y"),
    ("#if($missing == $nil)y#end", "y"),
    ("#if($e == '')y#end", "y"),
    ("#if($l == [1,2,3])y#end", "y"),
    ("#if($n > 6)y#end", "y"),
    ("#if($n >= 7)y#end", "y"),
    ("#if($n < 8)y#end", "y"),
    ("#if($n <= 6)y#{else}n#end", "n"),
    ("#if($n gt 6 && $n ge 7 && $n lt 8 && $n le 7)y#end", "y"),
    ("#if($n eq 7 and $n ne 8)y#end", "y"),
    ("#if($no or $t)y#end", "y"),
    ("#if($no || $no || $t)y#end", "y"),
    ("#if($t || $n > 'x')y#end", "y"),
    ("#if($no && $n > 'x')y#{else}n#end", "n"),
    ("#if($n + 1 == 8)y#end", "y"),
    ("#if($n > 1 && $n < 3 || $t)y#end", "y"),
    ("#if($no)a#elseif($t)b#{else}c#end", "b"),
    ("#if($no)a#elseif($no)b#{else}c#end", "c"),
    ("#if($no)a#elseif($no)b#end", ""),
    ("#if($no)a#elseif($no)b#elseif($t)c#end", "c"),
    ("#if($t)#if($no)a#{else}b#end#end", "b"),
    ("#if($s.length() == 4 && !$s.isEmpty())y#end", "y"),
    ("#if($m.containsKey('k'))y#end", "y"),
    # ---- loops
    ("#foreach($i in [1..3])$i,#end", "1,2,3,"),
    ("#foreach( $i in $l )$i#end", "123"),
    ("#foreach($i in $m.inner)$i#end", "1"),
    ("#foreach($i in $m.keySet())$i,#end", "k,a-b,inner,size,"),
    ("#foreach($i in $m.entrySet())$i.key=$i.value;#end", "k=v;a-b=dash;inner={x=1};size=entry;"),
    ("#foreach($i in $m.entrySet())$i.getKey()#end", "ka-binnersize"),
    ("#foreach($i in [])x#end", ""),
    ("#foreach($i in $m.nothing)x#end", ""),
    ("#foreach($i in $l)$foreach.count#end", "123"),
    ("#foreach($i in $l)$foreach.index#end", "012"),
    ("#foreach($i in $l)$velocityCount#end", "123"),
    ("#foreach($i in $l)$i#if($foreach.hasNext),#end#end", "1,2,3"),
    ("#foreach($i in $l)#if($foreach.last)!#end#if($foreach.first)?#end$i#end", "?12!3"),
    ("#foreach($i in $l)#if($i == 2)#break#end$i#end|", "1|"),
    ("#foreach($i in $l)#foreach($j in $l)$j#break#end$i#end", "111213"),
    ("#foreach($i in [1,2])#foreach($j in ['a','b'])$i$j,#end#end", "1a,1b,2a,2b,"),
    ("#foreach($i in [1,2])#foreach($j in [1])$foreach.parent.count#end#end", "12"),
    ("#set($i = 'out')#foreach($i in $l)$i#end$i", "123out"),
    ("#foreach($i in $l)#set($last = $i)#end$last", "3"),
    ("#foreach($i in $l)a#if($i == 2)#stop#end#end|", "aa"),
    ("a#break b", "a"),
    ("#foreach($c in $s.split(''))$c.#end", "t.e.x.t."),
    # ---- methods of strings
    ("$s.length()", "4"),
    ("$wide.length()", "4"),
    ("$e.isEmpty() $s.isEmpty()", "true false"),
    ("$e.empty", "true"),
    ("$s.equals('text') $s.equals('Text') $s.equals(1)", "true false false"),
    ("$s.equalsIgnoreCase('TEXT')", "true"),
    ("$s.toUpperCase() $s.toUpperCase().toLowerCase()", "TEXT text"),
    ("$s.concat('s')", "texts"),
    ("$s.contains('ex') $s.contains('ox')", "true false"),
    ("$s.startsWith('te') $s.endsWith('xt')", "true true"),
    ("$s.indexOf('x') $s.indexOf('q') $s.indexOf('t', 1) $s.lastIndexOf('t')", "2 -1 3 3"),
    ("$wide.indexOf('b')", "3"),
    ("$wide.substring(3)", "b"),
    ("$wide.substring(1, 3)", "😀"),
    ("$s.charAt(1)", "e"),
    ("$s.substring(1)", "ext"),
    ("$s.substring(1, 3)", "ex"),
    ("$s.substring(4)|", "|"),
    ("$s.replace('t', 'T')", "TexT"),
    ("$s.replace('.', 'x')", "text"),
    ("$s.replaceAll('[tx]', '_')", "_e__"),
    ("$s.replaceAll('(t)(e)', '$2$1')", "etxt"),
    ("$s.replaceFirst('t', 'b')", "bext"),
    ("$s.matches('t.*') $s.matches('t')", "true false"),
    ("$s.split('x')", "[te, t]"),
    ("$s.split('t')", "[, ex]"),
    ("$s.split('t').size()", "2"),
    ("#set($x = 'a,b,,')$x.split(',').size()", "2"),
    ("#set($x = 'a,b,,')$x.split(',', -1).size()", "4"),
    ("#set($x = 'a,b,c')$x.split(',', 2)[1]", "b,c"),
    ("#set($x = '  a ')$x.trim()|", "a|"),
    ("$s.compareTo('texs') $s.compareTo('tex')", "1 1"),
    ("$s.hashCode()", "3556653"),
    ("$s.toString().length()", "4"),
    ('#set($x = "it\\\'s")$x.replaceAll("\\\\\'","\'")', "it's"),
    # ---- methods of lists, maps and numbers
    ("$l.size() $l.isEmpty() $l.contains(2) $l.contains(9)", "3 false true false"),
    ("$l.indexOf(3) $l.indexOf(9)", "2 -1"),
    ("$l.add(4)$l", "true[1, 2, 3, 4]"),
    ("#set($ok = $l.add(4))$l", "[1, 2, 3, 4]"),
    ("$l.add(0, 9)$l", "[9, 1, 2, 3]"),
    ("$l.remove(0)$l", "1[2, 3]"),
    ("$l.set(0, 9)$l", "1[9, 2, 3]"),
    ("$l.subList(1, 3)", "[2, 3]"),
    ("$l.addAll([8, 9])$l.size()", "true5"),
    ("$m.put('z', 1)$m.z", "1"),
    ("$m.put('k', 1)$m.k", "v1"),
    ("$m.containsKey('k') $m.containsValue('v') $m.containsKey('q')", "true true false"),
    ("$m.keySet()", "[k, a-b, inner, size]"),
    ("$m.inner.values()", "[1]"),
    ("$m.inner.entrySet()", "[x=1]"),
    ("$m.getOrDefault('q', 'd')", "d"),
    ("$m.remove('k')$m.size()", "v3"),
    ("$m.inner.isEmpty()", "false"),
    ("$n.toString().length()", "1"),
    ("$f.intValue()", "2"),
    ("$n.equals(7) $n.equals('7')", "true false"),
    ("$t.toString().toUpperCase()", "TRUE"),
    ("$m.inner.get('x').toString()", "1"),
    ("$s.substring(0,1).toUpperCase()$s.substring(1)", "Text"),
    ("${s.length()}px", "4px"),
]

ERRORS = [
    ("$missing", 1, "$missing has no value"),
    ("a\n\n${missing}", 3, "${missing} has no value"),
    ("$m.nothing", 1, "$m.nothing has no value"),
    ("$m.inner.nothing.more", 1, "no value"),
    ("$nil", 1, "no value"),
    ("$s.nosuch()", 1, "no method nosuch()"),
    ("\n$s.nosuch", 2, "no property nosuch"),
    ("$s.length(1)", 1, "does not take 1 arguments"),
    ("$s.substring('a')", 1, "does not take a string"),
    ("$s.substring(9)", 1, "outside"),
    ("$s.charAt(4)", 1, "outside"),
    ("$l[3]", 1, "outside"),
    ("$l.get('a')", 1, "does not take a string"),
    ("$l.k", 1, "no property k"),
    ("$n.length()", 1, "a number has no method length()"),
    ("$s[0]", 1, "needs a list or a map"),
    ("#set($x = $n + $t)", 1, "+ works on numbers"),
    ("#set($x = $n - 's')", 1, "- works on numbers"),
    ("#set($x = $n / 0)", 1, "by zero"),
    ("#set($x = $n % 0)", 1, "by zero"),
    ("#set($x = $missing + 1)", 1, "not null"),
    ("#if('a' < 'b')x#end", 1, "< compares numbers"),
    ("#foreach($i in $missing)x#end", 1, "$missing is not defined"),
    ("#foreach($i in $s)x#end", 1, "needs a list or a map"),
    ("#foreach($i in [1..1001])x#end", 1, "1000"),
    ("#set($s.x = 1)", 1, "can be set on a map only"),
    ("#set($missing.x = 1)", 1, "what it belongs to has no value"),
    ("#set($m.get('x') = 1)", 1, "cannot be set"),
    ('#set($x = "$missing")', 1, "no value"),
    ("$s.replaceAll('(', '')", 1, "regular expression"),
    ("$s.replaceAll('t', '$9')", 1, "group"),
]

UNPARSABLE = [
    ("#if(true)", 1, "#if has no #end"),
    ("a\n#if(true)\nb", 2, "#if has no #end"),
    ("#if true", 1, "expected '('"),
    ("#if(true", 1, "expected ')'"),
    ("#if()x#end", 1, "expected a value"),
    ("#if(1 ==)x#end", 1, "expected a value"),
    ("#end", 1, "without its #if"),
    ("x\n#else", 2, "without its #if"),
    ("#elseif(true)", 1, "without its #if"),
    ("#if(true)a#{else}b#{else}c#end", 1, "#else came first"),
    ("#foreach($i in [1])x", 1, "#foreach has no #end"),
    ("#foreach(i in [1])x#end", 1, "expected a reference"),
    ("#foreach($i of [1])x#end", 1, "' in '"),
    ("#foreach($i.x in [1])x#end", 1, "plain variable"),
    ("#set $x = 1", 1, "#set needs '('"),
    ("#set($x 1)", 1, "expected '='"),
    ("#set(x = 1)", 1, "expected a reference"),
    ("#set($x = )", 1, "expected a value"),
    ("#set($x = 'a)", 1, "expected a value"),
    ('#set($x = "a)', 1, "not closed"),
    ("#set($x = $n -1)", 1, "expected ')'"),
    ("#set($x = [1, )", 1, "expected a value"),
    ("#set($x = {1})", 1, "expected ':'"),
    ("$s.length(1 + 2)", 1, "expected ')'"),
    ("${s", 1, "not closed by '}'"),
    ("${s.length(}", 1, "expected a value"),
    ("#*", 1, "not closed by *#"),
    ("#[[", 1, "not closed by ]]#"),
    ("#macro(a)x#end", 1, "#macro is not a directive"),
    ("\n#parse('x')", 2, "#parse is not a directive"),
    ("#include('x')", 1, "#include is not a directive"),
    ("#evaluate('x')", 1, "#evaluate is not a directive"),
    ("#define($x)y#end", 1, "#define is not a directive"),
]


@pytest.mark.parametrize(("template", "expected"), CASES)
def test_a_template_renders_as_velocity_does(template: str, expected: str) -> None:
    """Text, references, directives, line ends, operators and methods as Velocity 1.7 documents them."""
    assert _render(template) == expected


@pytest.mark.parametrize(("template", "line", "words"), ERRORS)
def test_what_velocity_would_pass_over_is_an_error_with_its_line(template: str, line: int, words: str) -> None:
    """A reference without a value, an unknown method and impossible arithmetic name themselves and their line."""
    with pytest.raises(VtlError) as caught:
        _render(template)
    assert caught.value.line == line
    assert words in str(caught.value)


@pytest.mark.parametrize(("template", "line", "words"), UNPARSABLE)
def test_a_template_that_makes_no_sense_is_refused_when_parsed(template: str, line: int, words: str) -> None:
    """Syntax errors and directives that API Gateway has not name their line before anything is rendered."""
    with pytest.raises(VtlError) as caught:
        parse_template(template)
    assert caught.value.line == line
    assert words in str(caught.value)


def test_a_template_may_be_300_kb_and_no_larger() -> None:
    """The size limit of a mapping template counts bytes."""
    parse_template("x" * (300 * 1024))
    with pytest.raises(VtlError, match="larger"):
        parse_template("é" * (150 * 1024 + 1))


def test_output_and_work_are_bounded() -> None:
    """Loops within loops end in an error before they hold the process."""
    loops = "#foreach($i in [1..1000])#foreach($j in [1..1000])#foreach($k in [1..1000])x#end#end#end"
    with pytest.raises(VtlError, match="statements"):
        render(parse_template(loops), {})
    with pytest.raises(VtlError, match="larger"):
        render(parse_template("#foreach($i in [1..1000])$big#end"), {"big": "x" * 100_000})


@pytest.mark.parametrize("template", ["#if(true)" * 200, "#set($x = " + "(" * 200, "#set($x = " + "[" * 200])
def test_nesting_is_bounded(template: str) -> None:
    """A template cannot exhaust the stack."""
    with pytest.raises(VtlError, match="nested"):
        parse_template(template)


def test_a_string_of_backslashes_is_parsed_in_linear_time() -> None:
    """An unclosed string of many backslashes is an error at once."""
    with pytest.raises(VtlError, match="not closed"):
        parse_template('#set($x = "' + "\\" * 100_000)


def test_a_parsed_template_renders_again_with_other_variables() -> None:
    """Rendering leaves no trace in the tree, and does not change the caller's variables."""
    block = parse_template("#set($x = $n + 1)$x")
    variables = {"n": 1}
    assert [render(block, variables), render(block, {"n": 5}), render(block, variables)] == ["2", "6", "2"]
    assert variables == {"n": 1}
