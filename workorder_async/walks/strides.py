"""How many rows a page has, and what is done about one with more or fewer (rule 2 of `paging.py`)."""

from attrs import evolve

from workorder_async.models import PageRequest, Pagination
from workorder_async.walks.course import Course, PageRead
from workorder_async.walks.journey import Doubt, Journey

# A first page with less than this part of what was asked for is read again before it sets the stride.
_SUSPICIOUS_PART = 4
# After so many requests, and twice as many, and so on, a very small stride is doubted.
_REQUESTS_BEFORE_A_SAMPLE = 16


class Strides:
    """Finds the stride, and changes it on evidence of the rows."""

    def __init__(self, course: Course) -> None:
        self._course = course
        self._sampled = 1
        # When a very small stride is doubted next, in requests, and how many after that.
        self._sample_at = self._wait = _REQUESTS_BEFORE_A_SAMPLE

    def begin(self, said: int, count: int, total: int) -> bool:
        """Take the stride from the first answer; whether that was possible."""
        course = self._course
        asked, journey = course.asked.page_size, course.journey
        if count < total and count * _SUSPICIOUS_PART < asked:
            odd = journey.note_odd(1, count, course.ledger.requests)
            if not odd.came_twice and journey.may_read_again(odd):
                journey.ask_again(1)
                return False
        journey.acquit(1)
        if not count:
            course.stride = asked
        elif count == total:
            course.stride = max(said if 0 < said <= asked else asked, count)
        else:
            course.stride = count
        return True

    def oddity(self, number: int, count: int, said: int, total: int) -> int | None:
        """Return the stride that an odd page's rows tell of, 0 where they tell of none; None where it is not odd.

        A page is odd with more rows than the stride, with fewer than it and its total say, or with fewer and a size
        that says so. Rows beyond the total may be those of a smaller stride.
        """
        course = self._course
        stride = course.stride
        before, told = (number - 1) * stride, self._told(count, said)
        is_short = count < min(stride, total - before) and not course.totals_wrong
        is_beyond = number > 1 and total < before + count and not course.totals_wrong
        is_said = 0 < count <= said < stride
        is_odd = is_short or is_said or count > stride or (is_beyond and told > 0)
        return told if is_odd else None

    def _told(self, count: int, said: int) -> int:
        """Return the stride that a page's rows tell of, where it may be another one; 0 where they do not.

        What a page says of its size counts only where its rows bear it out.
        """
        stride = self._course.stride
        if count > stride:
            return count
        if 0 < count <= said < stride:
            return said
        return count if not said and count < stride else 0

    def note_regular(self, read: PageRead, count: int) -> None:
        """Note a page that is not odd. Where it came odd before, that was not the server's new size."""
        journey = self._course.journey
        if count == self._course.stride:
            journey.full = max(journey.full, read.serial)
        if journey.odd:
            journey.acquit(read.request.page)

    def reads_again(self, read: PageRead, count: int, told: int, total: int) -> bool:
        """Read an odd page again, or find another stride; False where the page has to be taken as it is."""
        course = self._course
        journey, number = course.journey, read.request.page
        if journey.doubt is not None:
            journey.ask_again(number, read.repair)
            return True
        odd = journey.note_odd(number, count, course.ledger.requests)
        if told > course.stride and odd.came_twice:
            self._change(told)
            return True
        is_short = count < min(course.stride, total - (number - 1) * course.stride)
        if 0 < told < course.stride and journey.may_doubt(odd, is_short=is_short):
            journey.doubt = Doubt(number, read.repair, odd)
            return True
        if odd.came_twice and not count and number > 1 and read.repair is None:
            course.too_deep = True
        if journey.may_read_again(odd):
            journey.ask_again(number, read.repair)
            return True
        if is_short or count > course.stride or not odd.refuted:
            course.ledger.flaw("a page stayed shorter than its total says, or longer than the others")
        return False

    def resolve(self, doubt: Doubt) -> PageRead | None:
        """Read another page once all that is under way has come; where one of those tells enough, end the doubt."""
        course = self._course
        if doubt.is_asked or course.under_way:
            return None
        if course.journey.full > doubt.odd.since:
            course.journey.refute(doubt, course.ledger.requests)
            return None
        doubt.is_asked = True
        return self._sample(2 if doubt.number == 1 else 1)

    def sample(self) -> PageRead | None:
        """Read one of the first pages where the stride is so small that it is doubted now and then."""
        course = self._course
        if not 0 < course.stride * _SUSPICIOUS_PART < course.asked.page_size:
            return None
        if course.ledger.requests < self._sample_at:
            return None
        self._wait *= 2
        self._sample_at = course.ledger.requests + self._wait
        self._sampled = 3 - self._sampled
        return self._sample(self._sampled)

    def _sample(self, number: int) -> PageRead:
        """Read one of the first pages at the full size, to see how many rows the server gives now."""
        read = self._course.read(number)
        size = max(self._course.stride, self._course.asked.page_size)
        return evolve(read, request=evolve(read.request, page_size=size), is_sample=True)

    def receive_sample(self, request: PageRequest, count: int, pagination: Pagination) -> None:
        """Take in such a page."""
        course = self._course
        journey, told = course.journey, self._told(count, pagination.page_size)
        if not pagination.page_size and count == pagination.total - (request.page - 1) * request.page_size:
            # The end of a short list.
            told = 0
        doubt, journey.doubt = journey.doubt, None
        if told > course.stride:
            self._change(told)
        elif doubt is None:
            return
        elif 0 < told < course.stride and journey.full <= doubt.odd.since:
            self._change(told)
        else:
            journey.refute(doubt, course.ledger.requests)

    def _change(self, stride: int) -> None:
        """Go on with another stride from the position reached; what is under way or held at the old one is dropped."""
        course = self._course
        journey = course.journey
        reached = max(journey.reached, (journey.front - 1) * course.stride)
        course.stride, self._wait = stride, _REQUESTS_BEFORE_A_SAMPLE
        self._sample_at = course.ledger.requests + self._wait
        if journey.step < 0:
            course.journey = Journey(-1, 0, until=journey.until, first_place=journey.first_place)
        else:
            course.journey = Journey(1, reached // stride + 1, journey.edge, reached=reached)
